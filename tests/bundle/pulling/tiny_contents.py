"""The files of the tiny bundle in the order in which they are needed."""

STUDENT = ["g0.student.tflite", "g1.student.tflite", "g2.student.tflite"]
# Prefix order: b0.encoder leads from g0's teacher to g1's student, and so on.
TEACHER = ["g0.teacher.tflite", "b0.encoder.tflite", "g1.teacher.tflite", "b1.encoder.tflite", "g2.teacher.tflite"]
REST = ["b0.decoder.tflite", "b1.decoder.tflite"]


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
