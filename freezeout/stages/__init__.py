"""A network as an ordered list of stages: the chain, and how the stages of any network are found."""
