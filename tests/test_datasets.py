"""Digits, photographs and batches: fixed, complete, in range."""

import hashlib
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cnnlib import datasets


@pytest.fixture(scope="module")
def split():
    return datasets.digits()


def test_shapes_types_and_range(split):
    assert split.x_train.shape == (1437, 1, 28, 28)
    assert split.x_test.shape == (360, 1, 28, 28)
    assert split.y_train.shape == (1437,)
    assert split.y_test.shape == (360,)
    for x in (split.x_train, split.x_test):
        assert x.dtype == np.float32
        assert x.min() == 0
        assert 0.9 < x.max() <= 1
    assert split.y_train.dtype == np.int64
    assert datasets.digits(8, dtype=np.float64).x_train.dtype == np.float64


def test_the_split_never_changes(split):
    labels = np.concatenate([split.y_train, split.y_test]).astype(np.int8).tobytes()
    assert hashlib.sha256(labels).hexdigest()[:16] == "99c3fa75ee18cae9"


def test_every_scan_is_in_the_split_once():
    x_train, y_train, x_test, y_test = datasets.digits(8, dtype=np.float64)
    ours = np.concatenate([x_train, x_test]).reshape(1797, 64) * 16
    ours = np.column_stack([ours, np.concatenate([y_train, y_test])])
    scans = load_digits()
    theirs = np.column_stack([scans.data, scans.target])
    # Sorted rows are equal: nothing is lost, doubled or given another label.
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    # No two of the 1797 scans are equal, so training and test share none.
    assert len(np.unique(ours[:, :64], axis=0)) == 1797


@pytest.mark.parametrize("size", [4, 13, 28, 32])
def test_resize_is_torchs_bilinear(size):
    small = datasets.digits(8, dtype=np.float64).x_test
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(small), size=(size, size), mode="bilinear", align_corners=False
    )
    ours = datasets.digits(size, dtype=np.float64).x_test
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [0, -3, 2.5, "28"])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size must be a positive int"):
        datasets.digits(size)


def test_digits_are_between_0_and_1_so_no_whole_numbers():
    with pytest.raises(ValueError, match="dtype must be a floating type, got uint8"):
        datasets.digits(8, dtype=np.uint8)
    assert datasets.digits(np.int64(8)).x_test.shape[2:] == (8, 8)


def test_batches_cover_everything_once():
    x, y = np.arange(23)[:, None] * 1.5, np.arange(23)
    seen = list(datasets.batches(x, y, 5, np.random.default_rng(0)))
    assert [len(labels) for _, labels in seen] == [5, 5, 5, 5, 3]
    order = np.concatenate([labels for _, labels in seen])
    assert order.tolist() != list(range(23))
    assert sorted(order) == list(range(23))
    for samples, labels in seen:  # samples and labels stay together
        np.testing.assert_array_equal(samples[:, 0], labels * 1.5)


def test_batches_in_order_and_another_order_each_epoch():
    x = y = np.arange(10)
    assert np.concatenate([b for b, _ in datasets.batches(x, y, 4)]).tolist() == list(range(10))
    rng = np.random.default_rng(0)
    first, second = ([b.tolist() for b, _ in datasets.batches(x, y, 4, rng)] for _ in range(2))
    assert first != second


def test_batches_of_tensors():
    x, y = torch.arange(6.0), torch.arange(6)
    seen = torch.cat([b for b, _ in datasets.batches(x, y, 4, np.random.default_rng(0))])
    assert sorted(seen.tolist()) == x.tolist()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((np.zeros(3), np.zeros(2), 1), "x has 3 samples but y has 2 labels"),
        ((np.zeros(3), np.zeros(3), 0), "size must be a positive int, got 0"),
        ((np.zeros(3), np.zeros(3), 1.5), "size must be a positive int, got 1.5"),
        ((np.zeros(3), np.zeros(3), 1, 7), "rng must be a numpy Generator or None, got 7"),
    ],
)
def test_batches_complain_at_the_call(args, message):
    with pytest.raises(ValueError, match=message):
        datasets.batches(*args)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("china", (427, 640, 3)), ("flower", (427, 640, 3)), ("grace_hopper", (600, 512, 3))],
)
def test_photographs(name, shape):
    image = datasets.photograph(name)
    assert image.shape == shape
    assert image.dtype == np.uint8
    assert image.max() - image.min() > 200
    assert image.flags.writeable
    assert datasets.PHOTOGRAPHS[name]


def test_the_flower_is_orange_so_channels_are_red_green_blue():
    red, green, blue = datasets.photograph("flower")[200, 320].astype(int)
    assert red > green > blue


def test_unknown_photograph():
    with pytest.raises(ValueError, match="'lena' is not one of china, flower, grace_hopper"):
        datasets.photograph("lena")


@pytest.mark.parametrize(
    ("call", "module", "package"),
    [
        (lambda: datasets.digits(8), "sklearn.datasets", "scikit-learn"),
        (lambda: datasets.photograph("china"), "sklearn.datasets", "scikit-learn"),
        (lambda: datasets.photograph("grace_hopper"), "matplotlib.cbook", "matplotlib"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, call, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"needs {package}, .* pip install {package}"):
        call()
