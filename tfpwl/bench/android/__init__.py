"""The benchmark on phones: everything goes through the adb binary; programs on the phone do the measuring."""
