package tfpwl.bundle;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads {@code tiers.json}; the rules are those of Python's {@code tfpwl/runtime/tiers.py}. */
final class TiersReader {
    static final Pattern NAME = Pattern.compile("[a-z0-9_-]{1,32}");
    static final Pattern PLACE = Pattern.compile(
            "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?");
    static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern ABI = Pattern.compile("[A-Za-z0-9_-]{1,32}");
    private static final String FORMAT = "tfpwl-tiers";
    private static final int VERSION = 1;
    private static final int MAX_TIERS = 32;
    private static final int MAX_ABIS = 16;

    private TiersReader() {
    }

    static Tiers read(Node root) {
        checkFormat(root);
        String name = root.get("name").text();
        List<Tier> tiers = new ArrayList<Tier>();
        for (Node node : root.get("tiers").items(1)) {
            tiers.add(tier(node));
        }
        List<String> order = new ArrayList<String>();
        for (Node node : root.get("order").items(0)) {
            order.add(node.text());
        }
        Node fallback = root.maybe("fallback");
        Tiers found = new Tiers(name, Collections.unmodifiableList(tiers), Collections.unmodifiableList(order),
                fallback == null ? null : fallback.text());
        checkNames(root, found);
        return found;
    }

    /** Format and version first: a file of another version may have other keys. */
    private static void checkFormat(Node root) {
        if (root.has("format") && root.has("version")) {
            root.get("format").choice(FORMAT);
            long version = root.get("version").integer(1, Long.MAX_VALUE);
            if (version != VERSION) {
                throw root.get("version").refused("received " + version + "; this tfpwl-runtime reads " + VERSION
                        + ". Update it or build again");
            }
        }
        root.fields(new String[] {"format", "version", "name", "order", "tiers"}, "fallback");
    }

    private static Tier tier(Node node) {
        node.fields(new String[] {"name", "bundle", "manifest_sha256", "bytes", "resident_bytes", "precision",
            "runtime", "requires"});
        Node requires = node.get("requires").fields(new String[] {"ram_bytes", "cores", "abis", "free_bytes",
            "low_ram_allowed", "performance_class"});
        return new Tier(node, new Requirements(
                requires.get("ram_bytes").integer(0, Long.MAX_VALUE),
                (int) requires.get("cores").integer(1, 1024),
                abis(requires.get("abis")),
                requires.get("free_bytes").integer(0, Long.MAX_VALUE),
                requires.get("low_ram_allowed").flag(),
                (int) requires.get("performance_class").integer(0, 1000)));
    }

    /** Names of ABIs, each once. */
    private static List<String> abis(Node node) {
        List<String> found = new ArrayList<String>();
        for (Node member : node.items(0)) {
            found.add(member.matching(ABI, "an ABI such as 'arm64-v8a'"));
        }
        if (found.size() > MAX_ABIS || new HashSet<String>(found).size() < found.size()) {
            throw node.refused("received " + found.size() + " ABIs; expected at most " + MAX_ABIS + ", each once");
        }
        return Collections.unmodifiableList(found);
    }

    /** Names and bundles stand once, and {@code order} and {@code fallback} speak of these tiers. */
    private static void checkNames(Node root, Tiers found) {
        List<Node> nodes = root.get("tiers").items(1);
        if (nodes.size() > MAX_TIERS) {
            throw root.get("tiers").refused("received " + nodes.size() + " members; expected at most " + MAX_TIERS);
        }
        List<String> names = new ArrayList<String>();
        Set<String> bundles = new HashSet<String>();
        for (int i = 0; i < nodes.size(); i++) {
            Tier tier = found.tiers.get(i);
            if (names.contains(tier.name)) {
                throw twice(nodes.get(i).get("name"), tier.name);
            }
            names.add(tier.name);
            // Folders on some systems do not tell cases apart.
            String place = tier.bundle.toLowerCase(Locale.ROOT);
            if (!bundles.add(place)) {
                throw twice(nodes.get(i).get("bundle"), place);
            }
        }
        if (found.order.size() != names.size() || !new HashSet<String>(found.order).equals(new HashSet<String>(names))) {
            throw root.get("order").refused("received " + Node.shorten(found.order.toString()) + "; expected each of "
                    + Node.join(names) + " once, the best tier first");
        }
        if (found.fallback != null && !names.contains(found.fallback)) {
            throw root.get("fallback").refused("received '" + Node.shorten(found.fallback)
                    + "'; expected null or one of " + Node.join(names));
        }
    }

    private static RuntimeException twice(Node node, String value) {
        return node.refused("'" + value + "' stands twice; each tier needs its own");
    }
}
