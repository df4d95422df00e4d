"""Batch normalisation over the images and pixels of each channel."""

from typing import NamedTuple

from cnnlib._array import Array, namespace
from cnnlib.ops.geometry import check_rank, check_shape


class BatchNorm2dCache(NamedTuple):
    """What batch_norm2d_backward needs, and the new running statistics."""

    x_hat: Array  # normalised x, (N, C, H, W)
    inverse_std: Array  # (1, C, 1, 1)
    weight: Array | None
    bias: Array | None
    batch_statistics: bool
    running_mean: Array | None
    running_var: Array | None


def batch_norm2d_forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, BatchNorm2dCache]:
    r"""Give every channel mean 0 and variance 1, then scale and shift it.

    .. math:: \hat x = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}, \qquad y = w_c \hat x + b_c

    Args:
        x: (N, C, H, W).
        weight: (C,) or None for 1.
        bias: (C,) or None for 0.
        running_mean: (C,) or None.
        running_var: (C,) or None.
        training: True takes mean and variance from the batch, False the running ones
            (from the batch, too, where they are None).
        momentum: share of the batch in the new running statistics.
        eps: keeps the root away from 0.

    Returns:
        y (N, C, H, W), and the cache for :func:`batch_norm2d_backward`. The arguments are not
        written to: the new statistics are ``cache.running_mean`` and ``cache.running_var``.

    Raises:
        ValueError: a shape does not fit, or training with one value per channel.

    Source: Ioffe and Szegedy (2015), Batch Normalization, algorithm 1.
    """
    xp = _check_batch_norm(x, weight, bias, running_mean, running_var)
    count = x.shape[0] * x.shape[2] * x.shape[3]
    from_batch = (training or running_mean is None) and count > 0
    momentum, eps = float(momentum), float(eps)  # NumPy numbers would turn float32 into float64
    if training and count == 1:
        raise ValueError(
            f"batch_norm2d: training needs more than 1 value per channel: x {tuple(x.shape)}"
        )
    if from_batch:
        mean = xp.mean(x, axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
        var = xp.mean((x - mean) ** 2, axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
    elif running_mean is None:  # no image: any mean will do
        mean = var = xp.zeros((1, x.shape[1], 1, 1), dtype=x.dtype, device=x.device)
    else:
        mean, var = _channels(xp, running_mean), _channels(xp, running_var)
    if from_batch and training and running_mean is not None and running_var is not None:
        unbiased = var * (count / (count - 1))
        running_mean = (1 - momentum) * running_mean + momentum * mean[0, :, 0, 0]
        running_var = (1 - momentum) * running_var + momentum * unbiased[0, :, 0, 0]

    inverse_std = 1 / xp.sqrt(var + eps)  # (1, C, 1, 1)
    x_hat = (x - mean) * inverse_std  # (N, C, H, W)
    y = x_hat if weight is None else x_hat * _channels(xp, weight)
    y = y if bias is None else y + _channels(xp, bias)
    cache = BatchNorm2dCache(
        x_hat, inverse_std, weight, bias, from_batch, running_mean, running_var
    )
    return y, cache


def batch_norm2d_backward(
    dy: Array, cache: BatchNorm2dCache
) -> tuple[Array, Array | None, Array | None]:
    r"""Gradients of batch normalisation.

    With batch statistics, mean and variance depend on x as well:

    .. math::
        dw_c = \sum dy \, \hat x, \quad db_c = \sum dy, \quad
        dx = \frac{w_c}{\sigma_c}
        \left(dy - \overline{dy} - \hat x \, \overline{dy \, \hat x}\right)

    where sums and means run over n, h and w.

    Args:
        dy: upstream gradient (N, C, H, W).
        cache: from :func:`batch_norm2d_forward`.

    Returns:
        dx (N, C, H, W), dweight (C,) and dbias (C,), None where weight or bias was None.

    Raises:
        ValueError: dy has another shape than y.

    Source: Ioffe and Szegedy (2015), Batch Normalization, section 3.
    """
    x_hat, inverse_std, weight, bias, from_batch, *_ = cache
    xp = namespace("batch_norm2d_backward", x=x_hat, dy=dy)
    check_shape("batch_norm2d_backward", "dy", dy, x_hat.shape)
    dx_hat = dy if weight is None else dy * _channels(xp, weight)  # (N, C, H, W)
    if from_batch:
        mean = xp.mean(dx_hat, axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
        slope = xp.mean(dx_hat * x_hat, axis=(0, 2, 3), keepdims=True)  # (1, C, 1, 1)
        dx_hat = dx_hat - mean - x_hat * slope
    dweight = None if weight is None else xp.sum(dy * x_hat, axis=(0, 2, 3))  # (C,)
    dbias = None if bias is None else xp.sum(dy, axis=(0, 2, 3))  # (C,)
    return dx_hat * inverse_std, dweight, dbias


def _channels(xp, values: Array) -> Array:
    return xp.reshape(values, (1, -1, 1, 1))  # (C,) -> (1, C, 1, 1)


def _check_batch_norm(x, weight, bias, running_mean, running_var):
    where = "batch_norm2d"
    per_channel = {
        "weight": weight,
        "bias": bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    xp = namespace(where, x=x, **per_channel)
    check_rank(where, "x", x, 4, "(N, C, H, W)")
    for name, array in per_channel.items():
        if array is not None:
            check_shape(where, name, array, (x.shape[1],))
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{where}: running_mean and running_var must be given together")
    return xp
