package tfpwl.bundle;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.util.Collections;
import tfpwl.IntegrityException;

/** Plain files in a folder; links, pipes and folders are refused. */
final class FolderStore extends Store {
    private static final int CHUNK = 1 << 16;
    private static final String INTERRUPTED = "The thread was interrupted, nothing is wrong with the file; try again.";

    private final File root;

    FolderStore(File root) {
        this.root = root;
    }

    @Override
    boolean has(String name) {
        return new File(root, name).exists();
    }

    @Override
    void checkSize(String name, int expected) {
        File file = plain(name);
        if (file.length() != expected) {
            throw new IntegrityException(file + ": has " + file.length() + " bytes; the manifest expects " + expected
                    + ". " + EXPORT_AGAIN);
        }
    }

    @Override
    byte[] read(String name, int limit, boolean exact) {
        File file = plain(name);
        long size = file.length();
        if (size > limit || (exact && size != limit)) {
            throw new IntegrityException(file + ": has " + size + " bytes; expected " + (exact ? "" : "at most ")
                    + limit + ". " + EXPORT_AGAIN);
        }
        byte[] data = new byte[(int) size];
        copy(file, ByteBuffer.wrap(data));
        return data;
    }

    @Override
    ByteBuffer view(String name, int size, boolean inPlace) {
        checkSize(name, size);
        File file = plain(name);
        if (!inPlace) {
            ByteBuffer copy = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
            copy(file, copy);
            copy.rewind();
            return copy;
        }
        try {
            RandomAccessFile open = new RandomAccessFile(file, "r");
            try {
                // The map outlives the descriptor.
                return open.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, size).order(ByteOrder.nativeOrder());
            } finally {
                open.close();
            }
        } catch (IOException exc) {
            throw unreadable(file, exc);
        }
    }

    @Override
    Iterable<String> namesToCheck() {
        return Collections.<String>emptyList();
    }

    /** Fill {@code target}; a file that was cut meanwhile is an error, one that grew is cut at the end. */
    private void copy(File file, ByteBuffer target) {
        try {
            InputStream open = new FileInputStream(file);
            try {
                byte[] chunk = new byte[CHUNK];
                while (target.hasRemaining()) {
                    int count = open.read(chunk, 0, Math.min(chunk.length, target.remaining()));
                    if (count < 0) {
                        throw new IntegrityException(file + ": ends " + target.remaining() + " bytes too early. "
                                + advice());
                    }
                    target.put(chunk, 0, count);
                }
            } finally {
                open.close();
            }
        } catch (IOException exc) {
            throw unreadable(file, exc);
        }
    }

    /**
     * The file, if it is a plain one. {@code lstat} would say it directly, but java.nio.file is there from Android's
     * API 26 on only; a canonical path that differs means that a link leads elsewhere.
     */
    private File plain(String name) {
        File file = new File(root, name);
        try {
            if (!file.exists()) {
                throw new IntegrityException(file + ": no such file; the manifest expects it. " + advice());
            }
            if (!file.isFile() || !file.getCanonicalFile().equals(new File(root.getCanonicalFile(), name))) {
                throw new IntegrityException(file + ": is a link, a folder or special; expected a plain file. "
                        + EXPORT_AGAIN);
            }
        } catch (IOException exc) {
            throw unreadable(file, exc);
        }
        return file;
    }

    private IntegrityException unreadable(File file, IOException exc) {
        return new IntegrityException(file + ": " + exc + "; it cannot be read. "
                + (exc instanceof ClosedByInterruptException ? INTERRUPTED : advice()), exc);
    }

    private String advice() {
        return has(PULLING) ? "The bundle has not arrived as a whole; fetch the rest." : EXPORT_AGAIN;
    }
}
