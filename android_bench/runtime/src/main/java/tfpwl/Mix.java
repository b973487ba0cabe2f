package tfpwl;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.jetbrains.annotations.NotNull;

/**
 * Which side runs in each group: {@code TTSS} runs the teacher's groups 0 and 1 and the student's groups 2 and 3.
 *
 * <p>Immutable; equal by its letters.
 */
public final class Mix {
    private final String letters;

    private Mix(String letters) {
        this.letters = letters;
    }

    /**
     * A mix from one letter per group.
     *
     * @throws IllegalArgumentException when the text is empty or has another letter than S and T
     */
    @NotNull
    public static Mix of(@NotNull String letters) {
        for (int i = 0; i < letters.length(); i++) {
            if (letters.charAt(i) != 'S' && letters.charAt(i) != 'T') {
                throw refused(letters);
            }
        }
        if (letters.isEmpty()) {
            throw refused(letters);
        }
        return new Mix(letters);
    }

    private static IllegalArgumentException refused(String letters) {
        return new IllegalArgumentException(
                "Received mix '" + letters + "'; expected one letter S or T per group, such as 'TTSS'.");
    }

    /** The first mix of every path. */
    @NotNull
    public static Mix allStudent(int numGroups) {
        return filled('S', numGroups);
    }

    /** The last mix of every path. */
    @NotNull
    public static Mix allTeacher(int numGroups) {
        return filled('T', numGroups);
    }

    private static Mix filled(char side, int numGroups) {
        char[] letters = new char[numGroups];
        Arrays.fill(letters, side);
        return of(new String(letters));
    }

    /**
     * The N+1 mixes that an order walks through.
     *
     * @throws IllegalArgumentException when {@code order} is not a permutation of 0..N-1
     */
    @NotNull
    public static List<Mix> path(@NotNull int[] order) {
        int[] sorted = order.clone();
        Arrays.sort(sorted);
        for (int i = 0; i < sorted.length; i++) {
            if (sorted[i] != i) {
                throw notAPermutation(order);
            }
        }
        if (order.length == 0) {
            throw notAPermutation(order);
        }
        List<Mix> way = new ArrayList<Mix>(order.length + 1);
        way.add(allStudent(order.length));
        for (int group : order) {
            way.add(way.get(way.size() - 1).withTeacher(group));
        }
        return Collections.unmodifiableList(way);
    }

    private static IllegalArgumentException notAPermutation(int[] order) {
        return new IllegalArgumentException(
                "Received order " + Arrays.toString(order) + "; expected each group index 0..N-1 once.");
    }

    /** Number of groups. */
    public int length() {
        return letters.length();
    }

    /** Whether the teacher runs in {@code group}. */
    public boolean isTeacher(int group) {
        return letters.charAt(group) == 'T';
    }

    /** Whether a student group is left. */
    public boolean hasStudent() {
        return letters.indexOf('S') >= 0;
    }

    /** This mix with {@code group} taken over by the teacher. */
    @NotNull
    public Mix withTeacher(int group) {
        return new Mix(letters.substring(0, group) + 'T' + letters.substring(group + 1));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Mix && ((Mix) other).letters.equals(letters);
    }

    @Override
    public int hashCode() {
        return letters.hashCode();
    }

    /** The letters. */
    @Override
    @NotNull
    public String toString() {
        return letters;
    }
}
