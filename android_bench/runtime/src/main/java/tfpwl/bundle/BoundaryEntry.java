package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** Both sides of a boundary, and the converters between them where the channel counts differ. */
public final class BoundaryEntry {
    @NotNull public final TensorSpec student;
    @NotNull public final TensorSpec teacher;
    @Nullable public final FileEntry encoder;
    @Nullable public final FileEntry decoder;

    BoundaryEntry(TensorSpec student, TensorSpec teacher, @Nullable FileEntry encoder, @Nullable FileEntry decoder) {
        this.student = student;
        this.teacher = teacher;
        this.encoder = encoder;
        this.decoder = decoder;
    }

    /** The file that leads into the teacher's side (the decoder) or the student's (the encoder). */
    @Nullable
    public FileEntry converter(boolean intoTeacher) {
        return intoTeacher ? decoder : encoder;
    }
}
