package tfpwl.runtime;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jetbrains.annotations.Nullable;
import tfpwl.Mix;
import tfpwl.bundle.Manifest;

/** Which mixes a change walks through from where the model stands. */
final class Plan {
    private Plan() {
    }

    /**
     * The mixes after {@code start}, one more teacher group each, along {@code order} up to {@code until}.
     *
     * @param order the manifest's when null
     * @param until all-teacher when null
     * @throws IllegalArgumentException {@code order} is no permutation of the groups, or {@code until} not on the way
     */
    static List<Mix> upgrade(Manifest manifest, Mix start, @Nullable int[] order, @Nullable Mix until) {
        int[] chosen = order == null ? manifest.order() : order;
        if (chosen.length != manifest.numGroups()) {
            throw new IllegalArgumentException("Received order " + Arrays.toString(chosen)
                    + "; expected each group 0.." + (manifest.numGroups() - 1) + " once.");
        }
        Mix.path(chosen);
        List<Mix> way = new ArrayList<Mix>();
        way.add(start);
        for (int group : chosen) {
            Mix last = way.get(way.size() - 1);
            if (!last.isTeacher(group)) {
                way.add(last.withTeacher(group));
            }
        }
        int end = way.size() - 1;
        if (until != null) {
            end = way.indexOf(manifest.checkMix(until));
            if (end < 0) {
                throw new IllegalArgumentException("Received until='" + until + "'; order "
                        + Arrays.toString(chosen) + " leads through " + way + ".");
            }
        }
        return way.subList(1, end + 1);
    }

    /**
     * {@code target}, if it has no teacher group that {@code start} lacks.
     *
     * @throws IllegalArgumentException when it has, or has another number of groups
     */
    static Mix downgrade(Manifest manifest, Mix start, Mix target) {
        manifest.checkMix(target);
        for (int i = 0; i < target.length(); i++) {
            if (target.isTeacher(i) && !start.isTeacher(i)) {
                throw new IllegalArgumentException("Received mix '" + target + "'; the model answers with '" + start
                        + "', which has less of the teacher. Use upgrade().");
            }
        }
        return target;
    }
}
