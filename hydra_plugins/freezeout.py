"""Where Hydra looks for plug-ins: it takes sweepers from this package only, by the name of their class here."""

from freezeout.cli import sweeper


class Arms(sweeper.Arms):
    """`hydra/sweeper: arms`."""
