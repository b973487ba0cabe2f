"""The host benchmark of a bundle against its rivals: fresh processes, cold and warm, answers while it upgrades.

Light on purpose: every measurement's process imports this package before its clock starts.
"""
