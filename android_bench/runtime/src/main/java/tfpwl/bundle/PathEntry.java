package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.Mix;

/** A mix of the path: accuracy as a fraction 0..1, bytes of its files, ms per answer; null: not measured. */
public final class PathEntry {
    @NotNull public final Mix mix;
    @Nullable public final Double accuracy;
    public final long residentBytes;
    @Nullable public final Double latencyMs;

    PathEntry(Mix mix, @Nullable Double accuracy, long residentBytes, @Nullable Double latencyMs) {
        this.mix = mix;
        this.accuracy = accuracy;
        this.residentBytes = residentBytes;
        this.latencyMs = latencyMs;
    }
}
