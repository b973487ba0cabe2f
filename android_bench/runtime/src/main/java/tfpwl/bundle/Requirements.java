package tfpwl.bundle;

import java.util.List;
import org.jetbrains.annotations.NotNull;

/** What a tier asks of a device. */
public final class Requirements {
    /** Memory as the system reports it, less than what is printed on the box. */
    public final long ramBytes;

    /** Processors. */
    public final int cores;

    /** Kinds of native code, of which the device needs one; none: any will do. */
    @NotNull public final List<String> abis;

    /** Free storage. */
    public final long freeBytes;

    /** Whether devices with Android's low-RAM flag may take it. */
    public final boolean lowRamAllowed;

    /** Android's media performance class. */
    public final int performanceClass;

    Requirements(long ramBytes, int cores, List<String> abis, long freeBytes, boolean lowRamAllowed,
            int performanceClass) {
        this.ramBytes = ramBytes;
        this.cores = cores;
        this.abis = abis;
        this.freeBytes = freeBytes;
        this.lowRamAllowed = lowRamAllowed;
        this.performanceClass = performanceClass;
    }
}
