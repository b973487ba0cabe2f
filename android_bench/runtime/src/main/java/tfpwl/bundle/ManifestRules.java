package tfpwl.bundle;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import tfpwl.ManifestException;
import tfpwl.Mix;

/** Rules of the manifest that hold between fields, as in Python's {@code tfpwl/bundle/rules.py}. */
final class ManifestRules {
    private ManifestRules() {
    }

    /**
     * Check what one field says against what another says.
     *
     * @throws ManifestException with the JSON path of the first place that breaks a rule
     */
    static void check(Manifest manifest) {
        checkEnds(manifest);
        checkOrder(manifest);
        checkPath(manifest);
        int between = manifest.numGroups() - 1;
        if (manifest.boundaries.size() != between) {
            throw new ManifestException("boundaries: received " + manifest.boundaries.size() + "; expected " + between
                    + ", one between each two of " + manifest.numGroups() + " groups");
        }
        for (int i = 0; i < between; i++) {
            checkShapes("boundaries[" + i + "]", manifest.boundaries.get(i), manifest.input.tensor.shape()[0]);
            checkConverters("boundaries[" + i + "]", manifest.boundaries.get(i));
        }
        checkNames(manifest);
    }

    private static void checkEnds(Manifest manifest) {
        int[] input = manifest.input.tensor.shape();
        int channels = input[input.length - 1];
        int given = manifest.input.preprocess.numChannels();
        if (given != 1 && given != channels) {
            throw new ManifestException("input.preprocess.mean: received " + given + " numbers; expected 1 or "
                    + channels + ", one per channel of input.shape");
        }
        int batch = manifest.output.tensor.shape()[0];
        if (batch != input[0]) {
            throw new ManifestException("output.shape: received a batch of " + batch + "; expected " + input[0]
                    + ", that of input.shape");
        }
    }

    private static void checkOrder(Manifest manifest) {
        int[] sorted = manifest.order.clone();
        Arrays.sort(sorted);
        boolean whole = sorted.length == manifest.numGroups();
        for (int i = 0; whole && i < sorted.length; i++) {
            whole = sorted[i] == i;
        }
        if (!whole) {
            throw new ManifestException("order: received " + Node.shorten(Arrays.toString(manifest.order))
                    + "; expected each group 0.." + (manifest.numGroups() - 1) + " once");
        }
    }

    private static void checkPath(Manifest manifest) {
        List<Mix> expected = Mix.path(manifest.order);
        if (manifest.path.size() != expected.size()) {
            throw new ManifestException("path: received " + manifest.path.size() + " mixes; order leads through "
                    + expected.size());
        }
        for (int i = 0; i < expected.size(); i++) {
            if (!manifest.path.get(i).mix.equals(expected.get(i))) {
                throw new ManifestException("path[" + i + "].mix: received '"
                        + Node.shorten(manifest.path.get(i).mix.toString()) + "'; order leads to '"
                        + expected.get(i) + "'");
            }
        }
    }

    private static void checkShapes(String where, BoundaryEntry boundary, int batch) {
        int[] student = boundary.student.shape();
        int[] teacher = boundary.teacher.shape();
        int[] studentFront = Arrays.copyOf(student, student.length - 1);
        if (!Arrays.equals(studentFront, Arrays.copyOf(teacher, teacher.length - 1))) {
            throw new ManifestException(where + ": the student's shape is " + Arrays.toString(student)
                    + " and the teacher's " + Arrays.toString(teacher)
                    + "; all but the last axis (channels) must be equal");
        }
        if (student[0] != batch) {
            throw new ManifestException(where + ": received a batch of " + student[0] + "; expected " + batch
                    + ", that of input.shape");
        }
    }

    private static void checkConverters(String where, BoundaryEntry boundary) {
        if ((boundary.encoder == null) != (boundary.decoder == null)) {
            throw new ManifestException(where + "." + (boundary.encoder == null ? "encoder" : "decoder")
                    + ": missing, but the other converter is there; expected both or neither");
        }
        int student = channels(boundary.student);
        int teacher = channels(boundary.teacher);
        if (student != teacher && boundary.encoder == null) {
            throw new ManifestException(where + ".encoder: missing; the student has " + student
                    + " channels and the teacher " + teacher + ", so encoder and decoder are needed");
        }
        if (student == teacher && boundary.encoder != null) {
            throw new ManifestException(where + ".encoder: received '" + boundary.encoder.file
                    + "'; expected none, because both sides have " + student + " channels");
        }
    }

    private static int channels(TensorSpec spec) {
        int[] shape = spec.shape();
        return shape[shape.length - 1];
    }

    private static void checkNames(Manifest manifest) {
        List<String> names = new ArrayList<String>();
        if (manifest.output.labels != null) {
            names.add(manifest.output.labels);
        }
        for (FileEntry entry : manifest.files()) {
            names.add(entry.file);
        }
        Set<String> seen = new HashSet<String>();
        for (String name : names) {
            // Folders on some systems do not tell cases apart.
            if (!seen.add(name.toLowerCase(Locale.ROOT))) {
                throw new ManifestException("the file name '" + name
                        + "' stands twice in the manifest; each entry needs its own file");
            }
        }
    }
}
