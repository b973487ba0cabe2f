"""Every error tfpwl raises on purpose, in one tree.

::

    TfpwlError
    ├── ConfigError          the pipeline YAML (or a value given for it) is wrong
    ├── DataError            a data set cannot be used as it is
    ├── ModelError           a model, group or pair breaks a rule
    │   └── BoundaryError    student and teacher do not meet at a boundary
    ├── TrainingError        training cannot start, go on or resume
    ├── ExportError          a group cannot be written as .tflite
    ├── QuantizationError    a file cannot be calibrated or quantized
    ├── StoreError           an artifact of a build cannot be written: a full disk, a read-only folder
    ├── WorkerError          other processes cannot do a build's work
    ├── BundleError          a bundle on disk cannot be used
    │   ├── ManifestError    manifest.json is missing, broken or breaks its schema
    │   ├── IntegrityError   a file is missing, cut short or has another checksum
    │   ├── PullError        a bundle cannot be fetched from a server
    │   ├── SignatureError   the manifest's signature is missing or wrong, or a key cannot be used
    │   ├── ContractError    a file breaks a contract of the bundle format
    │   ├── RuntimeTooOldError   the bundle needs a newer TFLite runtime
    │   ├── TiersError       tiers.json is missing, broken or breaks its schema
    │   └── NoTierError      no tier fits the device (exit code 1)
    ├── ProfileError         a device profile is missing, broken, or has no figure for what is asked
    ├── EngineError          an engine could not load or run a file
    │   ├── OutOfMemoryError     there is not enough memory for it
    │   └── ClosedError          the model was closed
    ├── DeviceError          a phone cannot do what was asked
    │   ├── NoDeviceError        none is connected, or not the one that was named
    │   ├── UnauthorizedError    nobody has allowed this computer on its screen
    │   ├── DeviceOfflineError   the connection to it was lost
    │   ├── StorageFullError     its storage is full
    │   ├── WrongAbiError        a program is for other processors than its own
    │   ├── DeviceCrashError     a program on it died of a signal
    │   └── DeviceTimeoutError   it, or a program on it, did not answer in time
    ├── MissingDependencyError   an optional package is not installed
    └── GateError            a quality gate or a check failed (exit code 1)

A message says what was received, what was expected and how to put it right. Errors of other
libraries are wrapped with ``raise … from exc``.
"""

from __future__ import annotations


class TfpwlError(Exception):
    """Root of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 2


class ConfigError(TfpwlError):
    """A pipeline configuration is wrong: unknown key, wrong type, value out of range."""


class DataError(TfpwlError):
    """A data set is missing, has the wrong shape, or holds values that cannot be trained on."""


class ModelError(TfpwlError):
    """A model cannot be built, cut or paired as asked."""


class BoundaryError(ModelError):
    """Student and teacher do not meet at a boundary (spatial shape, rank or count of groups)."""


class TrainingError(TfpwlError):
    """Training cannot start, go on or be resumed."""


class ExportError(TfpwlError):
    """A Keras model cannot be written as a .tflite file that keeps the bundle's contracts."""


class QuantizationError(TfpwlError):
    """A .tflite file cannot be calibrated or quantized: its data, its activations or its operators do not allow it."""


class StoreError(TfpwlError):
    """An artifact of a build cannot be written: the disk is full, or the folder is read-only; what is there is kept."""


class WorkerError(TfpwlError):
    """Other processes cannot do a build's work: there is no such cluster, or a task loses its worker each time."""


class BundleError(TfpwlError):
    """A bundle on disk cannot be used."""


class ManifestError(BundleError):
    """``manifest.json`` is missing, unreadable, too large or breaks its schema."""


class IntegrityError(BundleError):
    """A file of a bundle is missing, has another size or another SHA-256 than the manifest says."""


class PullError(BundleError):
    """A bundle cannot be fetched: no answer, a refusal, or something else than a bundle; what has arrived is kept."""


class SignatureError(BundleError):
    """The signature over ``manifest.json`` is missing or wrong, or the key for it cannot be used."""


class ContractError(BundleError):
    """A file of a bundle breaks a contract of the format (shape, dtype, signature, boundary)."""


class RuntimeTooOldError(BundleError):
    """The installed TFLite runtime is older than the bundle's ``requires.tflite_runtime``."""


class TiersError(BundleError):
    """``tiers.json`` is missing, unreadable, too large, breaks its schema, or names another bundle than is there."""


class NoTierError(BundleError):
    """No tier fits the device, not even the fallback; the message has a reason for each."""

    exit_code = 1


class ProfileError(TfpwlError):
    """A device profile is missing, broken, or has no figure for what is asked of it."""


class EngineError(TfpwlError):
    """An engine could not load or run a file whose checksum was right."""


class OutOfMemoryError(EngineError):
    """There is not enough memory to load a file, or not within the app's budget."""


class ClosedError(EngineError):
    """The model was closed; its memory was given back."""


class DeviceError(TfpwlError):
    """A phone, or a program on it, cannot do what was asked."""


class NoDeviceError(DeviceError):
    """No phone is connected, or not the one that was named, or one has to be named."""


class UnauthorizedError(DeviceError):
    """Nobody has allowed this computer on the phone's screen."""


class DeviceOfflineError(DeviceError):
    """The connection to a phone was lost, or it does not answer the adb server."""


class StorageFullError(DeviceError):
    """A phone has no room for what has to be pushed."""


class WrongAbiError(DeviceError):
    """A program is built for other processors than the phone's."""


class DeviceCrashError(DeviceError):
    """A program on a phone died of a signal; ``tombstone`` is what the system wrote about it, if anything."""

    def __init__(self, message: str, tombstone: str = "") -> None:
        super().__init__(message)
        self.tombstone = tombstone


class DeviceTimeoutError(DeviceError):
    """A phone, or a program on it, did not answer in time."""


class MissingDependencyError(TfpwlError):
    """A package of an optional extra (``tfpwl[train]``, …) is needed and not installed."""


class GateError(TfpwlError):
    """A quality gate or a check failed; the work was done and the report was written."""

    exit_code = 1
