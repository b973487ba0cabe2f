package tfpwl.bundle;

import java.nio.ByteBuffer;

/** The files of a bundle by name; nothing here looks at sums. All methods throw IntegrityException. */
abstract class Store {
    static final String MANIFEST = "manifest.json";
    static final String SIGNATURE = "manifest.sig";
    /** In a folder that {@code tfpwl pull} has begun and not finished: files beyond the student may be missing. */
    static final String PULLING = ".pulling";
    static final String EXPORT_AGAIN = "Copy the bundle again or export it again.";

    abstract boolean has(String name);

    /** Check, without reading it, that a file is there and has {@code expected} bytes. */
    abstract void checkSize(String name, int expected);

    /** A private copy of a file of at most (with {@code exact}: exactly) {@code limit} bytes. */
    abstract byte[] read(String name, int limit, boolean exact);

    /** A file's bytes for an engine: mapped, or a direct private copy; in native order. */
    abstract ByteBuffer view(String name, int size, boolean inPlace);

    /** Names that neither the manifest nor the format knows matter in a pack only. */
    abstract Iterable<String> namesToCheck();
}
