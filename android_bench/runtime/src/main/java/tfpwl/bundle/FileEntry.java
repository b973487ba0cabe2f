package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;

/** A file of the bundle: plain name, size in bytes and SHA-256 in hexadecimal. */
public final class FileEntry {
    @NotNull public final String file;
    public final int bytes;
    @NotNull public final String sha256;

    FileEntry(String file, int bytes, String sha256) {
        this.file = file;
        this.bytes = bytes;
        this.sha256 = sha256;
    }

    @Override
    public String toString() {
        return file;
    }
}
