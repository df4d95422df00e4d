"""The contract: one network, ours and torch's, agrees in every number to 1e-10."""

import numpy as np
import pytest
import torch
from torch import nn

import cnnlib
from cnnlib.pytorch import bridge

TOLERANCE = 1e-10
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4, 15, 13))
LABELS = np.array([2, 0, 6, 6, 1])


def our_net(seed=0):
    rng = np.random.default_rng(seed)
    f64 = {"rng": rng, "dtype": np.float64}
    model = cnnlib.Sequential(
        cnnlib.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2, **f64),
        cnnlib.BatchNorm2d(6, dtype=np.float64),
        cnnlib.ReLU(),
        cnnlib.MaxPool2d(3, stride=2, padding=1),
        cnnlib.Conv2d(6, 5, 2, padding=1, dilation=2, **f64),
        cnnlib.Tanh(),
        cnnlib.AvgPool2d((2, 3), stride=(1, 2), padding=1),
        cnnlib.Flatten(),
        cnnlib.Linear(75, 9, **f64),
        cnnlib.Sigmoid(),
        cnnlib.Dropout(0.0, rng=rng),
        cnnlib.Linear(9, 7, **f64),
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zeros would hide a bias that is not added
            parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return model


def torch_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(6, 5, 2, padding=1, dilation=2),
        nn.Tanh(),
        nn.AvgPool2d((2, 3), stride=(1, 2), padding=1),
        nn.Flatten(),
        nn.Linear(75, 9),
        nn.Sigmoid(),
        nn.Dropout(0.0),
        nn.Linear(9, 7),
    ).double()


SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
ADAM = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.01}
OPTIMIZERS = {
    "SGD": (lambda p: cnnlib.SGD(p, **SGD), lambda p: torch.optim.SGD(p, **SGD)),
    "Adam": (lambda p: cnnlib.Adam(p, **ADAM), lambda p: torch.optim.Adam(p, **ADAM)),
}


def values(arrays):
    return {name: np.asarray(array) for name, array in arrays.items()}


def our_step(model, make, x, labels):
    """Everything that one step of training computes, by name."""
    criterion, optimizer = cnnlib.CrossEntropyLoss(), make(model.parameters())
    seen = {"logits": model(x)}
    seen["loss"] = criterion(seen["logits"], labels)
    seen["dx"] = model.backward(criterion.backward())
    seen |= {f"d {name}": p.grad for name, p in model.named_parameters()}
    optimizer.step()
    seen |= model.state_dict()
    seen["eval"] = model.eval()(x)
    return values(seen)


def torch_step(model, make):
    optimizer = make(model.parameters())
    x = torch.tensor(X, requires_grad=True)
    seen = {"logits": model(x)}
    seen["loss"] = nn.functional.cross_entropy(seen["logits"], torch.tensor(LABELS))
    seen["loss"].backward()
    seen["dx"] = x.grad
    seen |= {f"d {name}": p.grad for name, p in model.named_parameters()}
    optimizer.step()
    seen |= model.state_dict()
    seen["eval"] = model.eval()(x)
    return values({name: tensor.detach().clone() for name, tensor in seen.items()})


def compare(ours, theirs):
    """The largest difference of each quantity that is beyond the tolerance."""
    assert ours.keys() == theirs.keys()
    far = {}
    for name, value in theirs.items():
        assert ours[name].shape == value.shape, name
        distance = float(np.max(np.abs(ours[name] - value)))
        if not distance <= TOLERANCE:
            far[name] = distance
    return far


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("direction", ["to torch", "from torch"])
def test_one_step_of_training_agrees(name, library, direction):
    ours, theirs = our_net(), torch_net()
    x, labels = X, LABELS
    if library == "torch":
        bridge.to_torch(ours)
        x, labels = torch.tensor(X), torch.tensor(LABELS)
    bridge.copy_weights(*((ours, theirs) if direction == "to torch" else (theirs, ours)))
    mine, yours = OPTIMIZERS[name]
    assert compare(our_step(ours, mine, x, labels), torch_step(theirs, yours)) == {}


def test_every_quantity_is_compared_and_not_trivial():
    ours = our_net()
    before = ours.state_dict()
    seen = our_step(ours, OPTIMIZERS["Adam"][0], X, LABELS)
    assert len(seen) == 4 + 2 * 10 + 3  # logits, loss, dx, eval; 10 parameters twice; 3 buffers
    for name, value in seen.items():
        # The bias before a batch norm has no influence: its gradient is rounding alone.
        if name != "d 0.bias":
            assert np.max(np.abs(value)) > 1e-6, name
        if name in before:
            assert not np.array_equal(value, before[name]), name


def spoil_weight(model):
    model[0].weight.data[0, 0, 0, 0] += 1e-7


def spoil_momentum(model):
    model[1].momentum = 0.2


def spoil_pool(model):
    model[6].count_include_pad = False


def spoil_backward(model):
    flipped = model[4].backward
    model[4].backward = lambda dy: flipped(dy)[:, :, ::-1]


@pytest.mark.parametrize(
    ("spoil", "shows_in"),
    [
        (spoil_weight, "logits"),
        (spoil_momentum, "1.running_mean"),
        (spoil_pool, "loss"),
        (spoil_backward, "d 0.weight"),
    ],
)
def test_planted_differences_show(spoil, shows_in):
    ours, theirs = our_net(), torch_net()
    bridge.copy_weights(ours, theirs)
    spoil(ours)
    mine, yours = OPTIMIZERS["SGD"]
    assert shows_in in compare(our_step(ours, mine, X, LABELS), torch_step(theirs, yours))


def test_the_wrong_optimizer_shows():
    ours, theirs = our_net(), torch_net()
    bridge.copy_weights(ours, theirs)
    far = compare(
        our_step(ours, lambda p: cnnlib.SGD(p, **{**SGD, "nesterov": False}), X, LABELS),
        torch_step(theirs, OPTIMIZERS["SGD"][1]),
    )
    assert "0.weight" in far
    assert "d 0.weight" not in far


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_one_step_on_cuda():
    ours, theirs = bridge.to_torch(our_net(), device="cuda"), torch_net()
    bridge.copy_weights(theirs, ours)
    criterion = cnnlib.CrossEntropyLoss()
    logits = ours(torch.tensor(X, device="cuda"))
    criterion(logits, torch.tensor(LABELS, device="cuda"))
    ours.backward(criterion.backward())
    expected = theirs(torch.tensor(X))
    nn.functional.cross_entropy(expected, torch.tensor(LABELS)).backward()
    np.testing.assert_allclose(logits.cpu().numpy(), expected.detach().numpy(), atol=TOLERANCE)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad.device.type == "cuda"
        np.testing.assert_allclose(
            p.grad.cpu().numpy(), q.grad.numpy(), atol=TOLERANCE, err_msg=name
        )


def test_a_shared_weight_is_one_parameter():
    a, b = (
        cnnlib.Linear(2, 2, rng=0, dtype=np.float64),
        cnnlib.Linear(2, 2, rng=1, dtype=np.float64),
    )
    theirs = torch.nn.Sequential(*(torch.nn.Linear(2, 2, dtype=torch.float64) for _ in "ab"))
    bridge.copy_weights(cnnlib.Sequential(a, b), theirs)
    b.weight, theirs[1].weight = a.weight, theirs[0].weight
    ours = cnnlib.Sequential(a, b)
    assert len(list(ours.parameters())) == len(list(theirs.parameters())) == 3
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = RNG.standard_normal((4, 2))
    y = ours(x)
    ours.backward(np.ones_like(y))
    theirs(torch.tensor(x)).sum().backward()
    cnnlib.SGD(ours.parameters(), lr=0.1, momentum=0.9).step()
    torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9).step()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), atol=1e-12)
    ours.map_arrays(lambda array: array * 2)
    np.testing.assert_allclose(a.weight.data, 2 * theirs[0].weight.detach().numpy(), atol=1e-12)
