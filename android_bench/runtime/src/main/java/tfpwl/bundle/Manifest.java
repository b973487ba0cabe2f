package tfpwl.bundle;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.ManifestException;
import tfpwl.Mix;

/**
 * All that a bundle says about itself. A manifest that was read kept every rule of the format, so that the code behind
 * it checks nothing again. Immutable to everyone outside this package.
 */
public final class Manifest {
    static final String FORMAT = "tfpwl-bundle";
    static final long VERSION = 1;
    static final int MAX_BYTES = 1 << 20;

    // Filled once, by ManifestReader.
    String name;
    @Nullable String tier;
    String precision;
    String configSha256;
    InputSpec input;
    OutputSpec output;
    final List<BoundaryEntry> boundaries = new ArrayList<BoundaryEntry>();
    final List<GroupEntry> groups = new ArrayList<GroupEntry>();
    int[] order;
    final List<PathEntry> path = new ArrayList<PathEntry>();
    int threads;
    String delegate;
    String requiredTflite;

    Manifest() {
    }

    /**
     * Parse a manifest and check every rule of the format.
     *
     * @param json at most 1 MiB of UTF-8
     * @throws ManifestException for any malformation, with the JSON path of the place
     */
    @NotNull
    public static Manifest parse(@NotNull byte[] json) {
        Manifest manifest = ManifestReader.read(Json.parse(json, MAX_BYTES, Document.MANIFEST));
        ManifestRules.check(manifest);
        return manifest;
    }

    @NotNull
    public String name() {
        return name;
    }

    /** The device class that the bundle is for, if it is for one. */
    @Nullable
    public String tier() {
        return tier;
    }

    /** {@code fp32}, {@code fp16}, {@code int8} or {@code w8}. */
    @NotNull
    public String precision() {
        return precision;
    }

    /** SHA-256 of the configuration that the bundle was built with. */
    @NotNull
    public String configSha256() {
        return configSha256;
    }

    @NotNull
    public InputSpec input() {
        return input;
    }

    @NotNull
    public OutputSpec output() {
        return output;
    }

    @NotNull
    public List<BoundaryEntry> boundaries() {
        return Collections.unmodifiableList(boundaries);
    }

    @NotNull
    public List<GroupEntry> groups() {
        return Collections.unmodifiableList(groups);
    }

    public int numGroups() {
        return groups.size();
    }

    /** In which order teacher groups take over. */
    @NotNull
    public int[] order() {
        return order.clone();
    }

    /** The mixes that the order walks through, with what was measured for them. */
    @NotNull
    public List<PathEntry> path() {
        return Collections.unmodifiableList(path);
    }

    /** Threads per group that the bundle was measured with. */
    public int threads() {
        return threads;
    }

    /** What the bundle runs best with: {@code xnnpack}, {@code gpu} or another name. */
    @NotNull
    public String delegate() {
        return delegate;
    }

    /** The oldest TFLite runtime, in TensorFlow's numbering, that can run every file. */
    @NotNull
    public String requiredTflite() {
        return requiredTflite;
    }

    /** Every .tflite file of the bundle, groups first. */
    @NotNull
    public List<FileEntry> files() {
        List<FileEntry> found = new ArrayList<FileEntry>();
        for (GroupEntry group : groups) {
            found.add(group.student);
            found.add(group.teacher);
        }
        for (BoundaryEntry boundary : boundaries) {
            if (boundary.encoder != null && boundary.decoder != null) {
                found.add(boundary.encoder);
                found.add(boundary.decoder);
            }
        }
        return found;
    }

    /** Every file once, in the order a device first needs it: student, each step of the path, the rest. */
    @NotNull
    public List<FileEntry> loadOrder() {
        LinkedHashSet<FileEntry> found = new LinkedHashSet<FileEntry>();
        for (PathEntry step : path) {
            found.addAll(chain(step.mix));
        }
        found.addAll(files());
        return new ArrayList<FileEntry>(found);
    }

    /**
     * The files that run one after another for {@code mix}, converters included.
     *
     * @throws IllegalArgumentException when the mix has another number of groups
     */
    @NotNull
    public List<FileEntry> chain(@NotNull Mix mix) {
        checkMix(mix);
        List<FileEntry> steps = new ArrayList<FileEntry>();
        for (int i = 0; i < mix.length(); i++) {
            if (i > 0 && mix.isTeacher(i - 1) != mix.isTeacher(i)) {
                FileEntry converter = boundaries.get(i - 1).converter(mix.isTeacher(i));
                if (converter != null) {
                    steps.add(converter);
                }
            }
            steps.add(groups.get(i).side(mix.isTeacher(i)));
        }
        return steps;
    }

    /** The mix, if it has one letter per group of this bundle. */
    @NotNull
    public Mix checkMix(@NotNull Mix mix) {
        if (mix.length() != numGroups()) {
            throw new IllegalArgumentException("Received mix '" + mix + "'; expected " + numGroups()
                    + " letters, one per group.");
        }
        return mix;
    }

    /** Bytes of the files that {@code mix} needs. */
    public long mixBytes(@NotNull Mix mix) {
        long bytes = 0;
        for (FileEntry entry : chain(mix)) {
            bytes += entry.bytes;
        }
        return bytes;
    }
}
