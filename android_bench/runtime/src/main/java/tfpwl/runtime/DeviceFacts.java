package tfpwl.runtime;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** A device, as far as the choice of a tier depends on it; {@code tfpwl.android.Devices} finds the facts. */
public final class DeviceFacts {
    /** All memory that the system sees; a phone sold with 6 GB reports about 5.4 GiB. */
    public final long ramBytes;

    /** Processors. */
    public final int cores;

    /** Kinds of native code that it runs, the best one first. */
    @NotNull public final List<String> abis;

    /** Free storage where bundles lie. */
    public final long freeBytes;

    /** Android's flag for devices that must save memory. */
    public final boolean lowRam;

    /** The media performance class (31, 33, …), 0 without one; null where the system has no such thing. */
    @Nullable public final Integer performanceClass;

    public DeviceFacts(long ramBytes, int cores, @NotNull List<String> abis, long freeBytes, boolean lowRam,
            @Nullable Integer performanceClass) {
        this.ramBytes = ramBytes;
        this.cores = cores;
        this.abis = Collections.unmodifiableList(new ArrayList<String>(abis));
        this.freeBytes = freeBytes;
        this.lowRam = lowRam;
        this.performanceClass = performanceClass;
    }
}
