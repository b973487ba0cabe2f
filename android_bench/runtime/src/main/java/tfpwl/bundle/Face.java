package tfpwl.bundle;

import java.util.ArrayList;
import java.util.List;
import org.jetbrains.annotations.NotNull;

/** What the manifest says about one end of one file. */
public final class Face {
    @NotNull public final FileEntry entry;
    /** Whether this is the file's input; otherwise it is its output. */
    public final boolean isInput;
    @NotNull public final TensorSpec spec;
    /** What the end touches, for messages. */
    @NotNull public final String where;
    private final boolean atBoundary;

    private Face(FileEntry entry, boolean isInput, TensorSpec spec, String where, boolean atBoundary) {
        this.entry = entry;
        this.isInput = isInput;
        this.spec = spec;
        this.where = where;
        this.atBoundary = atBoundary;
    }

    /** Whether the file's tensor is the one that the manifest promises. */
    public boolean accepts(@NotNull TensorSpec found) {
        // uint8 images carry the scale of the pixels, which the manifest has no place for.
        return atBoundary ? spec.agreesWith(found) : spec.sameShapeAndDtype(found);
    }

    /** Both ends of every file of the bundle. */
    @NotNull
    public static List<Face> of(@NotNull Manifest manifest) {
        List<Face> faces = new ArrayList<Face>();
        GroupEntry first = manifest.groups.get(0);
        GroupEntry last = manifest.groups.get(manifest.numGroups() - 1);
        for (int side = 0; side < 2; side++) {
            boolean teacher = side == 1;
            faces.add(new Face(first.side(teacher), true, manifest.input.tensor, "the bundle's input", false));
            faces.add(new Face(last.side(teacher), false, manifest.output.tensor, "the bundle's output", false));
        }
        for (int i = 0; i < manifest.boundaries.size(); i++) {
            addBoundary(faces, manifest, i);
        }
        return faces;
    }

    private static void addBoundary(List<Face> faces, Manifest manifest, int i) {
        BoundaryEntry boundary = manifest.boundaries.get(i);
        for (int side = 0; side < 2; side++) {
            boolean teacher = side == 1;
            TensorSpec spec = teacher ? boundary.teacher : boundary.student;
            String where = "the " + (teacher ? "teacher" : "student") + " side of boundary " + i;
            faces.add(new Face(manifest.groups.get(i).side(teacher), false, spec, where, true));
            faces.add(new Face(manifest.groups.get(i + 1).side(teacher), true, spec, where, true));
            FileEntry into = boundary.converter(teacher);
            FileEntry outOf = boundary.converter(!teacher);
            if (into != null && outOf != null) {
                faces.add(new Face(into, false, spec, where, true));
                faces.add(new Face(outOf, true, spec, where, true));
            }
        }
    }
}
