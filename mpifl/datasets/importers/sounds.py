"""Sounds: samples of WAV files, and log-mel features of them."""

from __future__ import annotations

import functools
import math
import warnings
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import get_window, resample_poly

from mpifl.errors import InputError
from mpifl.io.hdf5 import hdf5_errors

RATE = 16_000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms, the next power of two
MELS = 40
LOWEST, HIGHEST = 20.0, RATE / 2  # Hz
FLOOR = 1e-6  # added to the energies before the logarithm
RATES = (4_000, 192_000)  # Hz
"""Sampling rates that a file may have."""


def read_wav(path: Path, length: int) -> np.ndarray:
    """The first ``length`` samples (length,) float64 at RATE, from -1 to 1; the mean of the channels; zeros behind a short one.

    Another rate is resampled (scipy's resample_poly, whose filter takes away what RATE cannot hold). Raises InputError naming
    the file when it is no WAV file of numbers, is cut off or empty, or has a rate outside RATES.
    """
    with hdf5_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that it does not know are passed over
        warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
        rate, found = wavfile.read(path)
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"{path}: sampling rate {rate} Hz; allowed: {RATES[0]} to {RATES[1]}")
    if not found.size:
        raise InputError(f"{path}: no samples")
    sound = _from_minus_one_to_one(found[: math.ceil((length + RATE) * rate / RATE)])
    if not np.isfinite(sound).all():
        raise InputError(f"{path}: a sample that is not finite")
    if rate != RATE:
        common = math.gcd(rate, RATE)
        sound = resample_poly(sound, RATE // common, rate // common)
    whole = np.zeros(length)
    whole[: len(sound)] = sound[:length]
    return whole


def _from_minus_one_to_one(found: np.ndarray) -> np.ndarray:
    """Samples (samples,) or (samples, channels) as (samples,) float64. Bytes lie around 128, other integers around 0."""
    sound = found.astype(np.float64)
    if found.dtype == np.uint8:
        sound = (sound - 128) / 128
    elif found.dtype.kind == "i":
        sound /= -float(np.iinfo(found.dtype).min)
    return sound if sound.ndim == 1 else sound.mean(axis=1)


def frames(length: int) -> int:
    """How many windows lie in ``length`` samples, none of them beyond their ends."""
    return 1 + (length - WINDOW) // HOP


def log_mel(sounds: np.ndarray) -> np.ndarray:
    """Log-mel energies (sounds, frames, MELS) float32 of sounds (sounds, length) at RATE.

    The logarithm of FLOOR + the energies of each window (Hann, periodic; power spectrum of FFT points) in MELS triangles: the
    features with which Speech Commands (Warden, arXiv 1804.03209) is mostly used.
    """
    windows = np.lib.stride_tricks.sliding_window_view(sounds, WINDOW, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(windows * get_window("hann", WINDOW), FFT)
    return np.log(np.square(np.abs(spectrum)) @ mel_filters() + FLOOR).astype(np.float32)


@functools.cache
def mel_filters() -> np.ndarray:
    """(FFT // 2 + 1, MELS) float64: triangles over frequency, their corners evenly on HTK's mel scale, 2595 log10(1 + f / 700).

    Triangle k rises from corner k to 1 at corner k + 1 and falls to corner k + 2; the first corner is LOWEST, the last HIGHEST.
    """
    first, last = (2595 * math.log10(1 + frequency / 700) for frequency in (LOWEST, HIGHEST))
    mels = np.linspace(first, last, MELS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(FFT // 2 + 1)[:, None] * (RATE / FFT)
    rise = (bins - corners[:-2]) / np.diff(corners)[:-1]
    fall = (corners[2:] - bins) / np.diff(corners)[1:]
    filters: np.ndarray = np.maximum(0, np.minimum(rise, fall))
    return filters
