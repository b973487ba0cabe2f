package tfpwl.bundle;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.IntegrityException;
import tfpwl.TiersException;

/** All of {@code tiers.json}: one bundle per kind of device; {@code tfpwl.runtime.TierChoice} picks one. */
public final class Tiers {
    static final int MAX_BYTES = 1 << 18;

    /** Of the pipeline or model. */
    @NotNull public final String name;

    @NotNull public final List<Tier> tiers;

    /** The tiers' names, the best one first. */
    @NotNull public final List<String> order;

    /** The tier for devices that meet no tier's demands; null: they get none. */
    @Nullable public final String fallback;

    Tiers(String name, List<Tier> tiers, List<String> order, @Nullable String fallback) {
        this.name = name;
        this.tiers = tiers;
        this.order = order;
        this.fallback = fallback;
    }

    /**
     * Read {@code tiers.json} from a file.
     *
     * @throws TiersException it is missing, no plain file, or breaks a rule of the format
     */
    @NotNull
    public static Tiers read(@NotNull File file) {
        File place = file.getAbsoluteFile();
        try {
            return parse(new FolderStore(place.getParentFile()).read(place.getName(), MAX_BYTES, false));
        } catch (IntegrityException exc) {
            throw new TiersException(exc.getMessage(), exc);
        }
    }

    /**
     * Read {@code tiers.json} from a stream, such as {@code assets.open("tiers.json")}, which is not closed here.
     *
     * @throws TiersException it cannot be read, or breaks a rule of the format
     */
    @NotNull
    public static Tiers read(@NotNull InputStream stream) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        byte[] chunk = new byte[1 << 13];
        try {
            int length = stream.read(chunk);
            // A byte more than is allowed is enough to refuse it.
            while (length >= 0 && text.size() <= MAX_BYTES) {
                text.write(chunk, 0, length);
                length = stream.read(chunk);
            }
        } catch (IOException exc) {
            throw new TiersException("The file tiers.json cannot be read: " + exc.getMessage(), exc);
        }
        return parse(text.toByteArray());
    }

    /**
     * Parse {@code tiers.json} and check every rule of the format.
     *
     * @param text at most 256 KiB of UTF-8
     * @throws TiersException for any malformation, with the JSON path of the place, such as {@code tiers[1].bundle}
     */
    @NotNull
    public static Tiers parse(@NotNull byte[] text) {
        return TiersReader.read(Json.parse(text, MAX_BYTES, Document.TIERS));
    }

    /**
     * The tier of this name.
     *
     * @throws TiersException there is none
     */
    @NotNull
    public Tier get(@NotNull String wanted) {
        for (Tier tier : tiers) {
            if (tier.name.equals(wanted)) {
                return tier;
            }
        }
        throw new TiersException("Received tier '" + wanted + "'; expected one of " + Node.join(order) + ".");
    }
}
