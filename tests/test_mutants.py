"""Small mistakes that no other test saw when they were planted: each is caught by a test here."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive import agree

from cnnlib import AvgPool2d, BatchNorm2d, MaxPool2d, metrics, ops
from cnnlib.ops import conv, geometry

DRAW = np.random.default_rng(0).standard_normal


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_padding_with_an_even_kernel_and_many_kernels():
    """One pixel more on the right than on the left, on the way that adds into dx."""
    x, weight = DRAW((2, 1, 6, 7)), DRAW((5, 1, 2, 4))
    y, cache = ops.conv2d_forward(x, weight, padding="same")
    dy = DRAW(y.shape)
    leaf = torch.tensor(x, requires_grad=True)
    out = F.conv2d(leaf, torch.tensor(weight), padding="same")
    agree(ops.conv2d_backward(dy, cache)[0], torch.autograd.grad(out, leaf, torch.tensor(dy))[0])


@pytest.mark.parametrize(
    ("n", "depth", "size"), [(64, 144, 28), (64, 16, 7), (3, 9, 600), (2, 2**14, 30)]
)
def test_blocks_are_as_large_as_promised(n, depth, size):
    """The memory that conv2d promises: half a million elements, but at least 256 columns."""
    x = np.zeros((n, 1, 1, 1))
    window = geometry.Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (size, size))
    blocks = list(conv._blocks(x, depth, window))
    lengths = [
        (images.stop - images.start) * (pixels.stop - pixels.start) for images, _, pixels in blocks
    ]
    assert sum(lengths) == n * size * size
    columns = max(2**19 // depth, 256)
    assert max(lengths) == lengths[0] <= columns
    assert 2 * lengths[0] > min(columns, sum(lengths))


@pytest.mark.parametrize(
    ("x", "weight", "text"),
    [
        ((1, 0, 4, 4), (2, 0, 3, 3), "conv2d: weight must not be empty"),
        ((1, 1, 0, 4), (1, 1, 3, 3), "conv2d: the kernel does not fit the padded input"),
        ((1, 1, 4, 0), (1, 1, 3, 3), "conv2d: the kernel does not fit the padded input"),
    ],
)
def test_images_without_pixels_or_channels_are_refused(x, weight, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        ops.conv2d_forward(np.zeros(x), np.zeros(weight), padding=2)


def test_a_dilated_window_may_have_more_padding():
    x = DRAW((1, 2, 6, 5))
    around = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-np.inf)
    want, _ = ops.max_pool2d_forward(around, 2, stride=1, dilation=3)
    agree(ops.max_pool2d_forward(x, 2, stride=1, padding=2, dilation=3)[0], want)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("n", range(3, 9))
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_last_window_of_ceil_mode(kernel, n, stride, padding):
    """It may start on the image or on the border before it, not on the border behind."""
    x = DRAW((1, 1, n, n + 1))
    options = {"stride": stride, "padding": padding, "ceil_mode": True}
    tensor = torch.tensor(x)
    agree(ops.max_pool2d_forward(x, kernel, **options)[0], F.max_pool2d(tensor, kernel, **options))
    agree(ops.avg_pool2d_forward(x, kernel, **options)[0], F.avg_pool2d(tensor, kernel, **options))


def test_batch_norm_s_own_momentum_and_eps_count():
    x = DRAW((4, 3, 5, 6))
    ours = BatchNorm2d(3, eps=0.5, momentum=0.3, dtype=np.float64)
    theirs = torch.nn.BatchNorm2d(3, eps=0.5, momentum=0.3, dtype=torch.float64)
    agree(ours(x), theirs(torch.tensor(x)).detach())
    agree(ours.running_mean, theirs.running_mean)
    agree(ours.running_var, theirs.running_var)


def test_backward_takes_single_numbers(xp):
    """Arithmetic on a NumPy array without axes gives a scalar, which is no ``np.ndarray``."""
    for name in ("relu", "sigmoid", "tanh"):
        forward, backward = getattr(ops, f"{name}_forward"), getattr(ops, f"{name}_backward")
        y, cache = forward(xp(np.array(0.5)))
        assert tuple(y.shape) == tuple(backward(xp(np.array(1.0)), cache).shape) == ()


def test_dropout_of_everything_leaves_zeros():
    y, cache = ops.dropout_forward(np.ones((2, 3)), p=1, rng=np.random.default_rng(0))
    assert not y.any()
    assert not ops.dropout_backward(np.ones((2, 3)), cache).any()


def test_one_value_per_channel_is_enough_for_inference():
    mean, var = np.array([1.0, 2.0]), np.array([4.0, 9.0])
    x = np.array([3.0, 8.0]).reshape(1, 2, 1, 1)
    y, _ = ops.batch_norm2d_forward(x, None, None, mean, var, training=False, eps=0.0)
    agree(y.ravel(), np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (MaxPool2d((3, 2), stride=2, padding=1), torch.nn.MaxPool2d((3, 2), stride=2, padding=1)),
        (AvgPool2d(3, stride=2, padding=1), torch.nn.AvgPool2d(3, stride=2, padding=1)),
        (
            AvgPool2d(3, padding=1, count_include_pad=False),
            torch.nn.AvgPool2d(3, padding=1, count_include_pad=False),
        ),
    ],
    ids=repr,
)
def test_the_options_of_pooling_layers_reach_the_operation(ours, theirs):
    x = DRAW((2, 3, 8, 7))
    agree(ours(x), theirs(torch.tensor(x)))


@pytest.mark.parametrize("ignored", [-1, 7])
def test_the_label_to_ignore_need_not_be_a_class(ignored):
    logits, labels = DRAW((4, 3)), np.array([0, ignored, 2, ignored])
    want, _ = ops.cross_entropy_forward(logits[::2], labels[::2])
    agree(ops.cross_entropy_forward(logits, labels, ignore_index=ignored)[0], want)


def test_labels_in_a_table_are_no_list_of_labels():
    with pytest.raises(ValueError, match=r"^confusion_matrix: one label per sample"):
        metrics.confusion_matrix([[0, 1]], [[0, 1]], 2)
