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
from mpifl.io.files import read_errors

RATE = 16_000  # Hz
WINDOW = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms
FFT = 512  # samples: the power of two after WINDOW
MELS = 40
LOWEST = 20.0  # Hz
HIGHEST = RATE / 2  # Hz
FLOOR = 1e-6  # added to the energies before the logarithm
RATES = (4_000, 192_000)  # Hz
"""Lowest and highest sampling rate of a file."""


def read_wav(path: Path, length: int) -> np.ndarray:
    """Return the first ``length`` samples of a file, (length,) float64 at RATE, from -1 to 1.

    Channels are averaged, and a short sound is padded with zeros. Another rate is resampled by
    scipy's resample_poly, whose filter removes frequencies that RATE cannot represent. Raise
    InputError naming the file if it is no WAV file of numbers, is truncated or empty, or has a rate
    outside RATES.
    """
    with read_errors(path), warnings.catch_warnings():
        # unknown chunks are skipped; a truncated file is an error
        warnings.simplefilter("ignore", wavfile.WavFileWarning)
        warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
        rate, samples = wavfile.read(path)
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"{path}: sampling rate {rate} Hz; allowed: {RATES[0]} to {RATES[1]}")
    if not samples.size:
        raise InputError(f"{path}: no samples")

    # one second more than needed, for the filter of the resampling
    sound = _from_minus_one_to_one(samples[: math.ceil((length + RATE) * rate / RATE)])
    if not np.isfinite(sound).all():
        raise InputError(f"{path}: a sample that is not finite")
    if rate != RATE:
        common = math.gcd(rate, RATE)
        sound = resample_poly(sound, RATE // common, rate // common)

    padded = np.zeros(length)
    padded[: len(sound)] = sound[:length]
    return padded


def _from_minus_one_to_one(samples: np.ndarray) -> np.ndarray:
    """Return samples (samples,) or (samples, channels) as (samples,) float64 from -1 to 1.

    Silence is 128 in bytes and 0 in other integers.
    """
    sound = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        sound = (sound - 128) / 128
    elif samples.dtype.kind == "i":
        sound /= -float(np.iinfo(samples.dtype).min)
    return sound if sound.ndim == 1 else sound.mean(axis=1)


def frames(length: int) -> int:
    """Return the number of windows that fit into ``length`` samples."""
    return 1 + (length - WINDOW) // HOP


def log_mel(sounds: np.ndarray) -> np.ndarray:
    """Return log-mel energies (sounds, frames, MELS) float32 of sounds (sounds, length) at RATE.

    They are the logarithm of FLOOR + the energy of each window in MELS triangular filters. The
    window is a periodic Hann window; the spectrum is a power spectrum of FFT points. Speech
    Commands (Warden, arXiv 1804.03209) is mostly used with these features.
    """
    windows = np.lib.stride_tricks.sliding_window_view(sounds, WINDOW, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(windows * get_window("hann", WINDOW), FFT)
    return np.log(np.square(np.abs(spectrum)) @ mel_filters() + FLOOR).astype(np.float32)


@functools.cache
def mel_filters() -> np.ndarray:
    """Return triangular filters over frequency, (FFT // 2 + 1, MELS) float64.

    Their corners are evenly spaced on HTK's mel scale, 2595 log10(1 + f / 700), from LOWEST to
    HIGHEST. Triangle k rises from corner k to 1 at corner k + 1 and falls to corner k + 2.
    """
    first, last = (2595 * math.log10(1 + frequency / 700) for frequency in (LOWEST, HIGHEST))
    mels = np.linspace(first, last, MELS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(FFT // 2 + 1)[:, None] * (RATE / FFT)

    rise = (bins - corners[:-2]) / np.diff(corners)[:-1]
    fall = (corners[2:] - bins) / np.diff(corners)[1:]
    filters: np.ndarray = np.maximum(0, np.minimum(rise, fall))
    return filters
