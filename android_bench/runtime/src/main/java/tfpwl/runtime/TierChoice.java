package tfpwl.runtime;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jetbrains.annotations.NotNull;
import tfpwl.NoTierException;
import tfpwl.bundle.Requirements;
import tfpwl.bundle.Tier;
import tfpwl.bundle.Tiers;

/**
 * The tier that a device takes, and why no better one.
 *
 * <p>It is the first one, from the best one on, whose demands the device meets; otherwise the fallback, whose demands on
 * memory, cores and class are waived, those on the ABI and on free storage not. Python has the same rule in
 * {@code tfpwl/runtime/selection.py}; both are tested on one table of devices.
 */
public final class TierChoice {
    private static final long MIB = 1 << 20;

    private final Tier tier;
    private final boolean isFallback;
    private final Map<String, List<Unmet>> passedOver;

    private TierChoice(Tier tier, boolean isFallback, Map<String, List<Unmet>> passedOver) {
        this.tier = tier;
        this.isFallback = isFallback;
        this.passedOver = passedOver;
    }

    /** A demand that a device does not meet. */
    private static final class Unmet {
        final String what;
        final String text;

        Unmet(String what, String text) {
            this.what = what;
            this.text = text;
        }

        /** A device that cannot run a bundle's code or store it cannot take it as a fallback, either. */
        boolean isHard() {
            return what.equals("abi") || what.equals("storage");
        }
    }

    /**
     * Choose.
     *
     * @throws NoTierException no tier fits, with the reason for each
     */
    @NotNull
    public static TierChoice select(@NotNull Tiers tiers, @NotNull DeviceFacts device) {
        Map<String, List<Unmet>> passedOver = new LinkedHashMap<String, List<Unmet>>();
        for (String name : tiers.order) {
            Tier tier = tiers.get(name);
            List<Unmet> unmet = unmet(tier.requires, device);
            if (unmet.isEmpty()) {
                return new TierChoice(tier, false, passedOver);
            }
            passedOver.put(name, unmet);
        }
        if (tiers.fallback != null && isSoft(passedOver.get(tiers.fallback))) {
            return new TierChoice(tiers.get(tiers.fallback), true, passedOver);
        }
        throw new NoTierException("No tier of '" + tiers.name + "' fits this device: "
                + join("; ", sentences(passedOver)) + ".");
    }

    @NotNull
    public Tier tier() {
        return tier;
    }

    /** Whether the device meets no tier's demands, and gets this one all the same. */
    public boolean isFallback() {
        return isFallback;
    }

    /**
     * The tiers that were not taken, the best one first, and what of their demands the device does not meet:
     * {@code abi}, {@code storage}, {@code ram}, {@code low_ram}, {@code cores}, {@code performance_class}.
     */
    @NotNull
    public Map<String, List<String>> unmet() {
        Map<String, List<String>> found = new LinkedHashMap<String, List<String>>();
        for (Map.Entry<String, List<Unmet>> passed : passedOver.entrySet()) {
            List<String> what = new ArrayList<String>();
            for (Unmet unmet : passed.getValue()) {
                what.add(unmet.what);
            }
            found.put(passed.getKey(), Collections.unmodifiableList(what));
        }
        return found;
    }

    /** Why this tier, in a sentence. */
    @NotNull
    public String reason() {
        List<String> parts = new ArrayList<String>();
        parts.add(tier.name + ": " + (isFallback ? "the fallback, as no tier's demands are met"
                : "its demands are met"));
        parts.addAll(sentences(passedOver));
        return join("; ", parts);
    }

    private static boolean isSoft(List<Unmet> unmet) {
        for (Unmet one : unmet) {
            if (one.isHard()) {
                return false;
            }
        }
        return true;
    }

    private static List<Unmet> unmet(Requirements requires, DeviceFacts device) {
        List<Unmet> found = new ArrayList<Unmet>();
        if (!requires.abis.isEmpty() && Collections.disjoint(requires.abis, device.abis)) {
            String has = device.abis.isEmpty() ? "none" : join(", ", device.abis);
            found.add(new Unmet("abi", "is made for " + join(", ", requires.abis) + ", the device has " + has));
        }
        if (device.freeBytes < requires.freeBytes) {
            found.add(new Unmet("storage", tooSmall(requires.freeBytes, "free storage", device.freeBytes)));
        }
        if (device.ramBytes < requires.ramBytes) {
            found.add(new Unmet("ram", tooSmall(requires.ramBytes, "memory", device.ramBytes)));
        }
        if (device.lowRam && !requires.lowRamAllowed) {
            found.add(new Unmet("low_ram", "is not for devices with the low-RAM flag"));
        }
        if (device.cores < requires.cores) {
            found.add(new Unmet("cores", "needs " + requires.cores + " cores, the device has " + device.cores));
        }
        if (device.performanceClass != null && device.performanceClass < requires.performanceClass) {
            found.add(new Unmet("performance_class", "needs performance class " + requires.performanceClass
                    + ", the device has " + device.performanceClass));
        }
        return found;
    }

    private static String tooSmall(long wanted, String what, long found) {
        // Rounded away from each other, so that the two numbers differ even where a byte is missing.
        long up = wanted / MIB + (wanted % MIB == 0 ? 0 : 1);
        return "needs " + up + " MiB of " + what + ", the device has " + found / MIB;
    }

    private static List<String> sentences(Map<String, List<Unmet>> passedOver) {
        List<String> found = new ArrayList<String>();
        for (Map.Entry<String, List<Unmet>> passed : passedOver.entrySet()) {
            List<String> texts = new ArrayList<String>();
            for (Unmet unmet : passed.getValue()) {
                texts.add(unmet.text);
            }
            found.add(passed.getKey() + " " + join(", ", texts));
        }
        return found;
    }

    private static String join(String between, List<String> words) {
        StringBuilder text = new StringBuilder();
        for (String word : words) {
            text.append(text.length() == 0 ? "" : between).append(word);
        }
        return text.toString();
    }
}
