"""Every number in the registry of worked examples, computed again from its inputs."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from cnnlib import (
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    examples,
    metrics,
    ops,
)
from cnnlib._road_signs.templates import templates
from cnnlib.datasets import ROAD_SIGNS


def image(x):
    return np.asarray(x)[None, None]


def correlate(x, weight):
    return ops.conv2d_forward(image(x), image(weight))[0][0, 0]


def conv3x3(x, weight):
    return {
        "cross_correlation": correlate(x, weight).item(),
        "convolution": correlate(x, weight[::-1, ::-1]).item(),
    }


def conv_index(x, weight):
    return conv3x3(x, weight)


def relu(x):
    return {"y": ops.relu_forward(x)[0]}


def max_pool(x, kernel_size, stride):
    return {"y": ops.max_pool2d_forward(image(x), kernel_size, stride=stride)[0][0, 0]}


def avg_pool(x, kernel_size, stride):
    return {"y": ops.avg_pool2d_forward(image(x), kernel_size, stride=stride)[0][0, 0]}


def dense(x, weight, bias):
    y = ops.linear_forward(x[None], weight, bias)[0][0]
    return {"y": y, "relu": ops.relu_forward(y)[0]}


def conv28(size, kernel_size, pool, other_kernel_size):
    conv = ops.output_size(size, kernel_size)
    return {
        "conv": conv,
        "pooled": ops.output_size(conv, pool, stride=pool),
        "other_conv": ops.output_size(size, other_kernel_size),
    }


def softmax_cross_entropy(logits, labels):
    loss, cache = ops.cross_entropy_forward(logits, labels)
    p = ops.softmax(logits)
    return {
        "p": p,
        "loss": float(loss),
        "p_minus_y": p - np.eye(3)[labels],
        "dlogits": ops.cross_entropy_backward(cache),
    }


def conv_gradients(x, weight, dy):
    y, cache = ops.conv2d_forward(image(x), image(weight))
    dx, dweight, _ = ops.conv2d_backward(image(dy), cache)
    # The two sentences of the book: dW is a correlation, dx a full convolution.
    np.testing.assert_allclose(correlate(x, dy), dweight[0, 0])
    np.testing.assert_allclose(correlate(np.pad(dy, 1), weight[::-1, ::-1]), dx[0, 0])
    return {"y": y[0, 0], "dweight": dweight[0, 0], "dx": dx[0, 0]}


def relu_mask(x, dy):
    return {"dx": ops.relu_backward(dy, ops.relu_forward(x)[1])}


def precision_recall(tp, fp, fn, tn):
    matrix = np.array([[tn, fp], [fn, tp]])
    result = metrics.precision_recall_f1(matrix)
    return {
        **{name: getattr(result, name)[1] for name in ("precision", "recall", "f1")},
        "accuracy": np.trace(matrix) / matrix.sum(),
    }


def fc_in_features(size, kernel_size, padding, pool, channels):
    pooled = ops.output_size(ops.output_size(size, kernel_size, padding=padding), pool, stride=pool)
    return {"pooled": pooled, "in_features": channels * pooled**2}


def simplecnn(size, layers, channels):
    sizes = [size]
    for kernel, stride, padding in layers:
        sizes.append(ops.output_size(sizes[-1], kernel, stride=stride, padding=padding))
    return {"sizes": tuple(sizes), "in_features": channels * sizes[-1] ** 2}


def s5(size, channels, kernel_size, pool, hidden, classes):
    sizes, parameters = [size], 0
    for c, o in itertools.pairwise(channels):
        sizes.append(ops.output_size(sizes[-1], kernel_size))
        sizes.append(ops.output_size(sizes[-1], pool, stride=pool))
        parameters += sum(p.data.size for p in Conv2d(c, o, kernel_size, rng=0).parameters())
    features = channels[-1] * sizes[-1] ** 2
    # The dense layers are counted, not made: the first alone has 44 million weights.
    parameters += (features + 1) * hidden + (hidden + 1) * classes
    return {"sizes": tuple(sizes), "features": features, "parameters": parameters}


def alexnet_listing(size, kernel_size, stride, layers):
    return {
        "first_layer": ops.output_size(size, kernel_size, stride=stride),
        "conv_layers": layers.count("conv"),
        "dense_layers": layers.count("dense"),
    }


def vgg_rescale(pixel, factor):
    return {"once": pixel * factor, "twice": pixel * factor * factor}


def normalize(pixels, mean, std, imagenet_mean, imagenet_std):
    to_tensor = pixels / 255
    assert (to_tensor.mean(), to_tensor.std()) == pytest.approx((mean, std))
    return {
        "to_tensor": to_tensor,
        "normalized": (to_tensor - mean) / std,
        "black": round((0 - imagenet_mean) / imagenet_std, 4),
        "white": round((1 - imagenet_mean) / imagenet_std, 4),
    }


def softmax_twice(logits, label, other_label):
    def loss(scores, right):
        return float(ops.cross_entropy_forward(scores, np.array([right]))[0])

    p = ops.softmax(logits)
    return {
        "once": loss(logits, label),
        "twice": loss(p, label),
        "twice_and_wrong": loss(p, other_label),
    }


def mirror(size):
    signs = templates(size)
    same = np.array([[np.allclose(s, m, atol=1e-6) for s in signs] for m in signs[:, :, ::-1]])
    assert same.sum(axis=1).max() == 1
    return {"labels": np.where(same.any(axis=1), same.argmax(axis=1), -1)}


def view(shape, n):
    maps = np.zeros(shape)
    return {"rows": len(maps.reshape(-1, n)), "features": maps[0].size}


def mean_of_means(gradients, workers, losses, batches):
    assert (sum(workers), sum(batches)) == (len(gradients), len(losses))
    return {"gradient": gradients.mean(), "loss": losses.mean()}


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_expected_values_follow_from_the_inputs(name):
    example = examples.get(name)
    computed = globals()[name](**example.inputs)
    assert computed.keys() == example.expected.keys()
    for key, value in example.expected.items():
        np.testing.assert_allclose(computed[key], value, rtol=0, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_wrong_values_are_wrong(name):
    example = examples.get(name)
    computed = globals()[name](**example.inputs)
    assert example.claims
    assert example.source
    for key in example.wrong.keys() & computed.keys():
        assert not np.allclose(computed[key], example.wrong[key]), key


def test_the_numbers_of_the_subject():
    # Typed again from the list of the subject, so that inputs and results cannot drift together.
    e = examples
    assert e.conv3x3.expected == {"cross_correlation": 285, "convolution": 165}
    assert e.conv3x3.wrong == {"cross_correlation": 231, "printed_products": 221}
    assert e.relu.expected["y"].tolist() == [0, 2, 0]
    assert e.max_pool.expected["y"].tolist() == [[6, 8], [14, 16]]
    assert e.max_pool.wrong["y"].tolist() == [[13, 14], [15, 16]]
    assert e.avg_pool.expected["y"].tolist() == [[3.5, 5.5], [11.5, 13.5]]
    assert e.dense.expected["y"].tolist() == [15, 34, 53]
    assert e.dense.wrong["y"].tolist() == [14, 31, 48]
    assert (e.conv28.expected["conv"], e.conv28.expected["pooled"]) == (24, 12)
    assert (e.conv28.wrong["conv"], e.conv28.wrong["pooled"]) == (26, 13)
    assert e.fc_in_features.expected["in_features"] == 401_408
    assert e.fc_in_features.wrong["in_features"] == 32 * 56 * 56
    assert e.simplecnn.expected["in_features"] == 2_304
    assert e.simplecnn.expected["sizes"] == (224, 112, 55, 28, 13, 7, 3)
    assert e.simplecnn.wrong["in_features"] == 256 * 6 * 6
    assert e.s5.expected["features"] == 86_528 == 26 * 26 * 128
    assert e.s5.expected["parameters"] == 44_909_096
    assert e.alexnet_listing.expected == {"first_layer": 5, "conv_layers": 4, "dense_layers": 2}
    assert e.alexnet_listing.wrong == {"conv_layers": 5, "dense_layers": 3}


def test_the_numbers_of_the_boxes():
    # Typed again from the chapters' boxes: 5, 9, 10 and 12.
    e = examples
    assert round(e.softmax_twice.expected["twice"], 2) == 1.46
    assert e.softmax_cross_entropy.wrong["p_minus_y"].min(axis=1).tolist() == [-1.6, -4]
    left, right = (ROAD_SIGNS.index(f"turn_{side}") for side in ("left", "right"))
    assert e.mirror.expected["labels"][[left, right]].tolist() == [right, left]
    assert e.view.inputs["n"] == 4 * e.view.expected["features"] == 9_216
    assert (e.view.expected["rows"], e.view.wrong["rows"]) == (1, 4)
    assert e.mean_of_means.expected == {"gradient": -2.25, "loss": 0.2}
    assert round(e.mean_of_means.wrong["gradient"], 2) == -4.17


def test_wrong_means_are_means_of_means():
    given, wrong = examples.mean_of_means.inputs, examples.mean_of_means.wrong
    for one, many, sizes in (("gradient", "gradients", "workers"), ("loss", "losses", "batches")):
        parts = np.split(given[many], np.cumsum(given[sizes])[:-1])
        assert np.mean([part.mean() for part in parts]) == pytest.approx(wrong[one])


def test_precision_and_recall_of_the_example_are_scikit_learns():
    n = examples.precision_recall.inputs
    labels = [1] * n["tp"] + [0] * n["fp"] + [1] * n["fn"] + [0] * n["tn"]
    predictions = [1] * (n["tp"] + n["fp"]) + [0] * (n["fn"] + n["tn"])
    theirs = precision_recall_fscore_support(labels, predictions, average="binary")[:3]
    ours = [examples.precision_recall.expected[key] for key in ("precision", "recall", "f1")]
    assert ours == pytest.approx(theirs)


def test_sizes_hold_in_a_real_forward_pass():
    rng, sizes = np.random.default_rng(0), []
    net = Sequential(
        Conv2d(1, 1, 7, stride=2, padding=3, rng=rng),
        MaxPool2d(3, stride=2),
        Conv2d(1, 1, 3, stride=2, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(3, stride=2),
        Conv2d(1, 1, 3, stride=2, padding=1, rng=rng),
        MaxPool2d(3, stride=2),
        Flatten(),
        Linear(9, 2, rng=rng),
    )
    x = np.zeros((1, 1, 224, 224), dtype=np.float32)
    for layer in net:
        x = layer(x)
        if isinstance(layer, Conv2d | MaxPool2d):
            sizes.append(x.shape[-1])
    assert (224, *sizes) == examples.simplecnn.expected["sizes"]


def test_every_example_has_a_recomputation_and_readers_cannot_spoil_it():
    for name, example in examples.EXAMPLES.items():
        assert example.name == name
        assert callable(globals()[name])
        for value in {**example.expected, **example.inputs}.values():
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable


def test_lookup():
    assert examples.get("conv3x3") is examples.conv3x3 is examples.EXAMPLES["conv3x3"]
    with pytest.raises(KeyError, match="no example 'conv5x5'; there are conv3x3, "):
        examples.get("conv5x5")
    with pytest.raises(AttributeError, match="has no example 'conv5x5'"):
        _ = examples.conv5x5
