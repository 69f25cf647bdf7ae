"""A small convolutional network with KAF learns the digits of scikit-learn, from three seeds."""

import copy

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import triton_acts as ta
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._gridding import Grid

EPOCHS = 12
BATCH = 128


@pytest.fixture(scope="module")
def digits():
    """(images, labels) to train on and to test on: 1347 and 450 images [1, 8, 8]."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    x, x_test = (torch.tensor(s, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1 for s in split[:2])
    y, y_test = (torch.tensor(s) for s in split[2:])
    return (x, y), (x_test, y_test)


def block(inputs, outputs):
    """Normalised before KAF, so that its inputs lie within the dictionary."""
    convolution = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    kaf = ta.KAF(num_channels=outputs, init="identity")
    return convolution, torch.nn.BatchNorm2d(outputs), kaf


def network():
    return torch.nn.Sequential(
        *block(1, 16),
        torch.nn.MaxPool2d(2),
        *block(16, 32),
        torch.nn.MaxPool2d(2),
        *block(32, 64),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(64, 10),
    )


def train(x, y):
    """A network after a fixed number of epochs; alpha alone has no weight decay.

    Nothing here was chosen by the test images: a fifth of the others was set aside for that.
    """
    model = network()
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    alphas = [p for name, p in model.named_parameters() if name.endswith("alpha")]
    others = [p for name, p in model.named_parameters() if not name.endswith("alpha")]
    groups = [{"params": others, "weight_decay": 0.5}, {"params": alphas, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learns_digits(digits, seed):
    (x, y), (x_test, y_test) = digits
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = train(x, y)
    with torch.no_grad():
        right = model(x_test).argmax(1) == y_test
    assert right.double().mean().item() >= 0.97


class Plain(torch.nn.Module):
    """The definition with the weights and the dictionary of a KAF layer."""

    def __init__(self, kaf):
        super().__init__()
        self.alpha = kaf.alpha
        lo, hi = kaf.grid.tolist()
        self.dictionary = Grid(lo, hi, self.alpha.shape[1], kaf.gamma.item())

    def forward(self, x):
        return definition(x, self.alpha, self.dictionary)


def test_gradients_are_those_of_the_definition(digits):
    (x, y), _ = digits
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network().double()
    model[-2].p = 0.0
    plain = copy.deepcopy(model)
    replaced = [i for i, layer in enumerate(plain) if isinstance(layer, ta.KAF)]
    assert len(replaced) == 3
    for i in replaced:
        plain[i] = Plain(plain[i])
    for net in (model, plain):
        images, labels = x[:BATCH].double(), y[:BATCH]
        torch.nn.functional.cross_entropy(net(images), labels).backward()
    pairs = zip(model.named_parameters(), plain.named_parameters(), strict=True)
    for (name, ours), (same_name, theirs) in pairs:
        assert name == same_name
        assert theirs.grad.abs().max() > 1e-6
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-10)
