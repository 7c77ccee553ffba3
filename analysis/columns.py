"""The columns of the tables that the analysis writes, and what each holds; docs/records.md repeats them.

Errors are per cent of the images misclassified. Savings are fractions of the training time of one baseline, the same
for a whole panel: the baseline of `reference_epochs`. Missing values are empty, never 0.
"""

from __future__ import annotations

SAVINGS = {
    "estimated_saving": "saving by the paper's formula, for DenseNet-BC under the paper's schedules; empty for others",
    "predicted_saving": "saving in counted FLOPs",
    "profiled_saving": "saving by a profile: seconds of a step at each prefix, timed alone on the device, times steps",
    "measured_saving": "saving by the runs' own clocks: each run against the baseline of its seed",
}

# runs.csv: one row per run and sweep. A strategy's own fields (t_0, budget, ...) are columns, too.
RUNS = {
    "sweep": "sweep that lists the run; `runs` for one that none lists; `a+b` for one that two compared sweeps share",
    "comparison": "sweep, or `a+b` for sweeps compared: rows with the same one and the same `setting_id` share a panel",
    "run_id": "name of the run",
    "setting_id": "hash of everything that compared runs must share; without device and threads if CPU runs of several "
    "devices share a panel",
    "seed": "number of the replicate",
    "strategy": "strategy, as the sweep calls it",
    "configuration": "what the run is called in tables, without its epochs",
    "series": "curve it belongs to: the strategy and its fields that are neither swept nor at their defaults",
    "swept": "the strategy's swept fields with their values, as in `t_0=0.8`",
    "label": "what the sweep calls the run, as JSON",
    "epochs": "length of the plain recipe; a shortened run trains a part of it",
    "reference_epochs": "length of the baseline that the savings of the row refer to",
    "steps": "training steps",
    "status": "`done`, `failed`, `interrupted`, `missing` or `unreadable`",
    "diverged": "whether the loss became infinite or not a number",
    "diverged_seeds": "how many seeds of this configuration diverged",
    "reason": "why the run is not done",
    "left_out": "why the run is in no plot; empty if it is in one",
    "left_out_of_savings": "why the run has no measured saving; empty if it has one",
    "error": "error on the evaluation split after the last step",
    "test_error": "error on the test set after the last step",
    "train_error": "error on the training set after the last step",
    "error_difference": "error minus that of the baseline of the same seed and `reference_epochs`, in points",
    "seconds_train": "seconds of all training steps",
    "seconds_total": "seconds of everything, evaluation and checkpoints included",
    "repeated_seconds": "training seconds lost in a kill and trained again, an upper bound",
    "profiled_seconds": "training seconds by a profile: the reader's (`pareto --profile`) or one beside the records",
    "timed_on": "device model of the profile",
    "timed_to": "bound on the error of the profiled saving from the profile's rounds, a fraction of the full time",
    "timed_off": "saving by the run's own seconds per step minus that by the profile's, a fraction of the full time",
    **SAVINGS,
    "model": "network, as it is typed",
    "model_name": "family of the network",
    "dataset": "name of the data set",
    "setting": "keys that differ between panels of the same comparison, network and data set, as in "
    "`optimizer.lr=0.05`; empty for a panel alone",
    "evaluation_split": "what `error` is measured on: `validation` or `test`",
    "evaluation_images": "number of images in that split",
    "synthetic": "whether the images are random, for timing only",
    "device": "model of the device",
    "threads": "CPU threads that trained; empty on a GPU",
    "python": "version of Python",
    "torch": "version of PyTorch",
    "freezeout": "version of this program",
    "host": "name of the computer",
    "shared_device": "whether others used the device at the same time, or the run stood still",
    "command": "command that makes the run again",
    "to_do": "whether the sweep's list waits for the run: not started, running or interrupted; no arm has a verdict "
    "while one is",
    "margin": "difference of the error that does not matter, a fraction of it, fixed beforehand by the sweep",
}

# pareto_*.csv: one row per configuration, means over its seeds. Those in INTERVALS have, beside the mean under the name
# itself, `_low` and `_high`, the ends of the 95 % interval, and `_n`, the number of seeds behind them.
INTERVALS = ("error", "seconds_train", "measured_saving", "error_difference", "against_curve")
POINTS = {
    "label": RUNS["label"],
    "strategy": RUNS["strategy"],
    "configuration": RUNS["configuration"],
    "series": RUNS["series"],
    "swept": "label of the point: the swept fields, and the epochs if a panel has several lengths",
    "epochs": RUNS["epochs"],
    "sweep": RUNS["sweep"],
    "n": "seeds with an error, over which the means are taken",
    "diverged_seeds": RUNS["diverged_seeds"],
    **{name: RUNS[name] for name in ("error", "seconds_train", "measured_saving", "error_difference")},
    **{name: RUNS[name] for name in ("test_error", "train_error", "profiled_saving", "profiled_seconds")},
    **{name: RUNS[name] for name in ("predicted_saving", "estimated_saving")},
    "verdict": "`better`, `worse`, `as good`, `cannot tell` against the shortened baseline at the same saving, or why "
    "there is none (docs/verdicts.md); `the curve` for baseline and shortened runs, `control` for one that is "
    "compared with its twin alone",
    "against_curve": "error minus that of the shortened baseline at the same saving, in points; the interval is "
    "simultaneous over the arms, and widened by the bound on time",
    "on_front": "whether no other configuration of the panel has both less error and more saving, by the means",
    "front_probability": "probability of being on the front by draws of the fitted model, with the shortened baseline "
    "available at every budget (docs/verdicts.md); empty if the scatter is not known",
}
