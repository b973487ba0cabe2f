package tfpwl.bundle;

import java.io.File;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.BundleException;
import tfpwl.TiersException;

/** A bundle for one kind of device. */
public final class Tier {
    /** Such as {@code mid}. */
    @NotNull public final String name;

    /** The bundle's folder or pack, relative to {@code tiers.json}, such as {@code bundles/mid}. */
    @NotNull public final String bundle;

    /** Of the bundle's manifest, which has the sums of all its files. */
    @NotNull public final String manifestSha256;

    /** Storage that the whole bundle takes. */
    public final long bundleBytes;

    /** Storage that the files of its all-student mix take. */
    public final long studentBytes;

    /** Memory that the all-student mix takes when loaded. */
    public final long studentResidentBytes;

    /** Memory that the all-teacher mix takes when loaded. */
    public final long teacherResidentBytes;

    /** {@code fp32}, {@code fp16}, {@code int8} or {@code w8}. */
    @NotNull public final String precision;

    /** Threads that it runs best with, for {@code ModelOptions.threads}. */
    public final int threads;

    /** What it runs best with, such as {@code xnnpack}. */
    @NotNull public final String delegate;

    /** What it asks of a device. */
    @NotNull public final Requirements requires;

    Tier(Node node, Requirements requires) {
        this.name = node.get("name").matching(TiersReader.NAME, "1 to 32 lowercase letters, digits, '_' and '-'");
        this.bundle = node.get("bundle").matching(TiersReader.PLACE,
                "a plain name, or two with a slash such as 'bundles/low'");
        this.manifestSha256 = node.get("manifest_sha256").matching(TiersReader.SHA256,
                "64 lowercase hexadecimal digits");
        Node bytes = node.get("bytes").fields(new String[] {"bundle", "student"});
        this.bundleBytes = bytes.get("bundle").integer(1, Long.MAX_VALUE);
        this.studentBytes = bytes.get("student").integer(1, bundleBytes);
        Node resident = node.get("resident_bytes").fields(new String[] {"student", "teacher"});
        this.studentResidentBytes = resident.get("student").integer(1, Long.MAX_VALUE);
        this.teacherResidentBytes = resident.get("teacher").integer(1, Long.MAX_VALUE);
        this.precision = node.get("precision").choice("fp32", "fp16", "int8", "w8");
        Node runtime = node.get("runtime").fields(new String[] {"threads", "delegate"});
        this.threads = (int) runtime.get("threads").integer(1, 1024);
        this.delegate = runtime.get("delegate").text();
        this.requires = requires;
    }

    /**
     * Open this tier's bundle.
     *
     * @param folder that of {@code tiers.json}
     * @param key demand a signature by the owner of this key; null demands none
     * @throws TiersException there is another bundle
     * @throws BundleException the bundle is broken or missing
     */
    @NotNull
    public Bundle open(@NotNull File folder, @Nullable PublicKey key) {
        Bundle found = Bundle.open(new File(folder, bundle), key);
        check(found);
        return found;
    }

    /**
     * See that an open bundle, such as one from the app's assets, is the one that {@code tiers.json} is about.
     *
     * @throws TiersException it is another one
     */
    public void check(@NotNull Bundle found) {
        if (!found.manifestSha256().equals(manifestSha256)) {
            throw new TiersException(found.root() + " is another bundle than the tier '" + name
                    + "' names: its manifest has the sum " + found.manifestSha256() + ", expected " + manifestSha256
                    + ". Write tiers.json again, or fetch the bundle again.");
        }
    }

    @Override
    public String toString() {
        return name;
    }
}
