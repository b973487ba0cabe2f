package tfpwl.bundle;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.BundleException;
import tfpwl.IntegrityException;
import tfpwl.ManifestException;
import tfpwl.Mix;
import tfpwl.SignatureException;

/**
 * The .tflite files of a bundle and its checked manifest: a folder, a packed file, or a pack inside another file.
 *
 * <p>Opening checks everything that needs no file's content; {@link #read} checks a file's sum before anybody sees its
 * bytes. Immutable, and there is nothing to close.
 */
public final class Bundle {
    private static final int MAX_LABELS_BYTES = 1 << 20;

    private final String root;
    private final Store store;
    private final Manifest manifest;
    private final String manifestSha256;

    private Bundle(String root, Store store, @Nullable PublicKey key) {
        this.root = root;
        this.store = store;
        byte[] text = readManifest();
        if (key != null) {
            // Before parsing, over the very bytes that are parsed then.
            key.check(text, readSignature());
        }
        this.manifest = Manifest.parse(text);
        this.manifestSha256 = Digests.sha256(ByteBuffer.wrap(text));
        checkFiles();
    }

    /**
     * Open a bundle's folder, or the file that {@code tfpwl pack} made of it, without demanding a signature.
     *
     * @throws BundleException see {@link #open(File, PublicKey)}
     */
    @NotNull
    public static Bundle open(@NotNull File path) {
        return open(path, null);
    }

    /**
     * Open a bundle's folder, or the file that {@code tfpwl pack} made of it.
     *
     * @param key demand a signature by the owner of this key; null demands none
     * @throws BundleException there is nothing at {@code path}, or a file that is no pack
     * @throws SignatureException a signature is demanded, and it is missing or wrong
     * @throws ManifestException there is no manifest, or it breaks the format
     * @throws IntegrityException a file is missing, a link or has another size; or the pack is damaged
     */
    @NotNull
    public static Bundle open(@NotNull File path, @Nullable PublicKey key) {
        File root = path.getAbsoluteFile();
        if (root.isDirectory()) {
            return new Bundle(root.getPath(), new FolderStore(root), key);
        }
        if (!root.exists()) {
            throw new BundleException("No bundle at " + root + ": it does not exist. Make one with `tfpwl build`.");
        }
        if (!root.isFile()) {
            throw notABundle(root.getPath());
        }
        try {
            RandomAccessFile file = new RandomAccessFile(root, "r");
            try {
                return openPack(root.getPath(), file.getChannel(), 0, file.length(), key);
            } finally {
                file.close();
            }
        } catch (IOException exc) {
            throw new BundleException(root + ": " + exc + "; it cannot be read.", exc);
        }
    }

    /**
     * Open a pack that lies in a range of a file, such as an uncompressed asset in an APK.
     *
     * @param name for messages
     * @param channel open for reading; it is not closed here, and not needed any more afterwards
     * @param offset where the pack begins, in bytes
     * @param length of the pack in bytes
     * @throws BundleException as {@link #open(File, PublicKey)}
     */
    @NotNull
    public static Bundle openPack(@NotNull String name, @NotNull FileChannel channel, long offset, long length,
            @Nullable PublicKey key) {
        ByteBuffer mark = ByteBuffer.allocate(4);
        try {
            channel.read(mark, offset);
        } catch (IOException exc) {
            throw new BundleException(name + ": " + exc + "; it cannot be read.", exc);
        }
        if (length < 4 || mark.getInt(0) != 0x504b0304) {
            throw notABundle(name);
        }
        return new Bundle(name, new PackStore(name, channel, offset, length), key);
    }

    private static BundleException notABundle(String name) {
        return new BundleException("Received the file " + name + "; expected the folder that holds " + Store.MANIFEST
                + ", or a bundle packed by `tfpwl pack`.");
    }

    /** The folder or the packed file, for messages. */
    @NotNull
    public String root() {
        return root;
    }

    @NotNull
    public Manifest manifest() {
        return manifest;
    }

    /** SHA-256 of {@code manifest.json}, which has the sums of all files: two bundles of the same sum are the same. */
    @NotNull
    String manifestSha256() {
        return manifestSha256;
    }

    /** Whether there is a signature; only opening with a key tells whether it is right. */
    public boolean isSigned() {
        return store.has(Store.SIGNATURE);
    }

    /**
     * Check the signature of a bundle that is open already.
     *
     * @throws SignatureException it is missing or wrong
     * @throws ManifestException the manifest is no longer the one that was read
     */
    public void checkSignature(@NotNull PublicKey key) {
        byte[] text = readManifest();
        if (!Digests.sha256(ByteBuffer.wrap(text)).equals(manifestSha256)) {
            throw new ManifestException(root + "/" + Store.MANIFEST + " was changed since it was read. Open it again.");
        }
        key.check(text, readSignature());
    }

    /** The files that have not arrived yet, in the order they are needed; none in a whole bundle. */
    @NotNull
    public List<FileEntry> missing() {
        List<FileEntry> found = new ArrayList<FileEntry>();
        for (FileEntry entry : manifest.loadOrder()) {
            if (!store.has(entry.file)) {
                found.add(entry);
            }
        }
        return found;
    }

    /**
     * The content of a file, checked against the manifest, in a direct or mapped buffer of native order.
     *
     * @param inPlace map the file instead of copying it. Right for what nobody writes into while it is open, such as an
     *     APK or the app's own folder; a map shows what is written after its sum was checked, and cutting the file
     *     short ends the process. A copy counts against the app's Java heap on Android.
     * @throws IntegrityException it is missing or unreadable, or its size or SHA-256 is another
     */
    @NotNull
    public ByteBuffer read(@NotNull FileEntry entry, boolean inPlace) {
        ByteBuffer data = store.view(entry.file, entry.bytes, inPlace);
        checkSum(entry.file, data, entry.sha256);
        return data;
    }

    /**
     * The classes' names in the order of the output, or null when the bundle has none.
     *
     * @throws IntegrityException the file cannot be read, or its SHA-256 is another
     * @throws tfpwl.ContractException it is not UTF-8, or has not one line per class
     */
    @Nullable
    public List<String> labels() {
        OutputSpec output = manifest.output();
        if (output.labels == null) {
            return null;
        }
        byte[] data = store.read(output.labels, MAX_LABELS_BYTES, false);
        if (output.labelsSha256 != null) {
            checkSum(output.labels, ByteBuffer.wrap(data), output.labelsSha256);
        }
        int[] shape = output.tensor.shape();
        return Labels.parse(root + "/" + output.labels, data, shape[shape.length - 1]);
    }

    private byte[] readManifest() {
        if (!store.has(Store.MANIFEST)) {
            if (store.has(Store.PULLING)) {
                throw new ManifestException("The student in " + root + " has not arrived as a whole yet.");
            }
            throw new ManifestException("No " + Store.MANIFEST + " in " + root
                    + "; this is not a bundle. Make one with `tfpwl build`.");
        }
        try {
            return store.read(Store.MANIFEST, Manifest.MAX_BYTES, false);
        } catch (IntegrityException exc) {
            throw new ManifestException(exc.getMessage(), exc);
        }
    }

    private byte[] readSignature() {
        if (!isSigned()) {
            throw new SignatureException(root + " is not signed: there is no " + Store.SIGNATURE
                    + ". Sign it with `tfpwl sign`.");
        }
        try {
            return store.read(Store.SIGNATURE, Ed25519.SIGNATURE_BYTES, true);
        } catch (IntegrityException exc) {
            throw new SignatureException(exc.getMessage(), exc);
        }
    }

    private void checkFiles() {
        boolean partial = store instanceof FolderStore && store.has(Store.PULLING);
        Set<FileEntry> student = new HashSet<FileEntry>(manifest.chain(Mix.allStudent(manifest.numGroups())));
        Set<String> named = new HashSet<String>();
        for (FileEntry entry : manifest.files()) {
            named.add(entry.file);
            if (!partial || student.contains(entry) || store.has(entry.file)) {
                store.checkSize(entry.file, entry.bytes);
            }
        }
        named.add(Store.MANIFEST);
        named.add(Store.SIGNATURE);
        named.add(manifest.output().labels);
        for (String name : store.namesToCheck()) {
            if (!named.contains(name)) {
                throw new IntegrityException(root + ": holds " + name
                        + ", which the manifest does not name. Pack again.");
            }
        }
    }

    private void checkSum(String file, ByteBuffer data, String expected) {
        String received = Digests.sha256(data);
        if (!received.equals(expected)) {
            throw new IntegrityException(root + "/" + file + ": the content has SHA-256 " + received
                    + "; the manifest expects " + expected + ". " + Store.EXPORT_AGAIN);
        }
    }
}
