"""One pass of evaluation. Nothing here writes, logs or reads configuration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from freezeout.data.source import eval_order
from freezeout.train.loop import Training
from freezeout.train.step import loss_input

BATCH = 500


@dataclass(frozen=True)
class Evaluation:
    """Results of one pass over a split.

    Attributes:
        loss: Mean cross entropy.
        error: Per cent of the images misclassified.
        classes: Predicted class of each image (n,), in the order of the split.
        correct: Whether the predicted class is the true one (n,).
        probabilities: Predicted probability of each image's true class (n,).
    """

    loss: float
    error: float
    classes: Tensor
    correct: Tensor
    probabilities: Tensor


@torch.no_grad()
def evaluate(training: Training, split: str) -> Evaluation:
    """Evaluate the network on all images of a split, without augmentation.

    Args:
        training: The network and its data. The network is left in evaluation mode.
        split: "train", "validation" or "test".
    """
    training.chain.eval()
    loss = torch.zeros((), dtype=torch.float64, device=training.device)
    classes, correct, probabilities = [], [], []
    order = eval_order(training.source.sizes[split], BATCH)
    for images, labels in training.source.batches(split, order):
        # Compiling for other batch sizes and evaluation mode would cost more than it saves.
        with training.body.autocast(), torch.compiler.set_stance("force_eager"):
            logits = training.chain(training.images(images))
        logits = loss_input(logits, training.bf16)
        predicted = logits.argmax(1)
        loss += cross_entropy(logits, labels, reduction="sum")
        classes.append(predicted)
        correct.append(predicted == labels)
        probabilities.append(logits.softmax(1).gather(1, labels[:, None]).squeeze(1))
    n, right = training.source.sizes[split], torch.cat(correct)
    wrong = n - int(right.sum())
    return Evaluation(loss.item() / n, 100 * wrong / n, torch.cat(classes), right, torch.cat(probabilities))
