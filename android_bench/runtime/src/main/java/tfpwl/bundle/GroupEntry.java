package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;

/** The two files of a group. */
public final class GroupEntry {
    @NotNull public final FileEntry student;
    @NotNull public final FileEntry teacher;

    GroupEntry(FileEntry student, FileEntry teacher) {
        this.student = student;
        this.teacher = teacher;
    }

    @NotNull
    public FileEntry side(boolean isTeacher) {
        return isTeacher ? teacher : student;
    }
}
