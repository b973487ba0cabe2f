"""An emulated phone for tests: an adb daemon to which the real adb client connects.

``python tests/adbd`` runs one by itself, so that what ``docs/android_bench.md`` tells can be tried without a phone.
"""
