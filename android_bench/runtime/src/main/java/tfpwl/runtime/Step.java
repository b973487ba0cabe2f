package tfpwl.runtime;

import java.util.concurrent.atomic.AtomicInteger;
import tfpwl.bundle.FileEntry;

/** A loaded file. It closes its group when the last chain that holds it lets go of it. */
final class Step {
    final FileEntry entry;
    final LoadedGroup group;
    private final AtomicInteger holders = new AtomicInteger(1);

    /** Held once, by whoever makes it. */
    Step(FileEntry entry, LoadedGroup group) {
        this.entry = entry;
        this.group = group;
    }

    /** Only for those who hold a chain with this step, so that it cannot be closed already. */
    void hold() {
        holders.incrementAndGet();
    }

    void release() {
        if (holders.decrementAndGet() == 0) {
            group.close();
        }
    }
}
