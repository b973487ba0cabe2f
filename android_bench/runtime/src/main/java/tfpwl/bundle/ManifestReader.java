package tfpwl.bundle;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import org.jetbrains.annotations.Nullable;
import tfpwl.Mix;

/** Reads the objects of {@code manifest.json}; the rules are those of Python's {@code tfpwl/bundle/entries.py}. */
final class ManifestReader {
    private static final Pattern PLAIN_NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}");
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern LETTERS = Pattern.compile("[ST]+");
    private static final Pattern VERSION = Pattern.compile("[0-9]{1,4}\\.[0-9]{1,4}\\.[0-9]{1,4}");
    private static final String HEX = "64 lowercase hexadecimal digits";
    private static final String[] PRECISIONS = {"fp32", "fp16", "int8", "w8"};
    private static final String[] METHODS = {"export", "weights", "calibration", "qat"};
    private static final int MAX_AXES = 8;

    private ManifestReader() {
    }

    static Manifest read(Node root) {
        checkFormat(root);
        Manifest manifest = new Manifest();
        manifest.name = root.get("name").text();
        manifest.tier = textOrNull(root.maybe("tier"));
        manifest.precision = root.get("precision").choice(PRECISIONS);
        manifest.configSha256 = configSha256(root.get("producer"));
        manifest.input = input(root.get("input"));
        manifest.output = output(root.get("output"));
        for (Node node : root.get("boundaries").items(0)) {
            manifest.boundaries.add(boundary(node));
        }
        for (Node node : root.get("groups").items(1)) {
            node.fields(new String[] {"student", "teacher"});
            manifest.groups.add(new GroupEntry(file(node.get("student")), file(node.get("teacher"))));
        }
        manifest.order = integers(root.get("order").items(1), 0, Integer.MAX_VALUE);
        for (Node node : root.get("path").items(0)) {
            manifest.path.add(path(node));
        }
        Node runtime = root.get("runtime").fields(new String[] {"threads", "delegate"});
        manifest.threads = (int) runtime.get("threads").integer(1, 1024);
        manifest.delegate = runtime.get("delegate").text();
        Node requires = root.get("requires").fields(new String[] {"tflite_runtime"});
        manifest.requiredTflite = requires.get("tflite_runtime").matching(VERSION, "a version such as '2.16.0'");
        checkQuantization(root.maybe("quantization"), manifest.precision);
        return manifest;
    }

    /** Format and version first: a manifest of another version may have other keys. */
    private static void checkFormat(Node root) {
        if (root.has("format") && root.has("version")) {
            Node format = root.get("format");
            if (!format.text().equals(Manifest.FORMAT)) {
                throw format.refused("received '" + Node.shorten(format.text()) + "'; expected '" + Manifest.FORMAT
                        + "'");
            }
            long version = root.get("version").integer(1, Long.MAX_VALUE);
            if (version != Manifest.VERSION) {
                throw root.get("version").refused("received " + version + "; this tfpwl-runtime reads "
                        + Manifest.VERSION + ". Update it or export again");
            }
        }
        root.fields(new String[] {"format", "version", "name", "precision", "producer", "input", "output",
            "boundaries", "groups", "order", "path", "runtime", "requires"}, "tier", "quantization");
    }

    private static String configSha256(Node node) {
        node.fields(new String[] {"tfpwl", "tensorflow", "config_sha256"});
        node.get("tfpwl").text();
        node.get("tensorflow").text();
        return node.get("config_sha256").matching(SHA256, HEX);
    }

    private static InputSpec input(Node node) {
        node.fields(new String[] {"shape", "dtype", "preprocess"});
        TensorSpec tensor = new TensorSpec(shape(node.get("shape")), node.get("dtype").choice("float32", "uint8"));
        Node preprocess = node.get("preprocess").fields(new String[] {"scale", "mean", "std"});
        double[] mean = numbers(preprocess.get("mean").items(1));
        double[] std = numbers(preprocess.get("std").items(1));
        if (mean.length != std.length) {
            throw preprocess.get("std").refused("received " + std.length + " numbers; expected " + mean.length
                    + ", one for each of `mean`");
        }
        for (double one : std) {
            if (one == 0) {
                throw preprocess.get("std").refused("a standard deviation may not be 0");
            }
        }
        return new InputSpec(tensor, new Preprocess(preprocess.get("scale").number(), mean, std));
    }

    private static OutputSpec output(Node node) {
        node.fields(new String[] {"shape", "dtype", "kind"}, "labels", "labels_sha256");
        Node labels = node.maybe("labels");
        Node sum = node.maybe("labels_sha256");
        if (labels == null && sum != null) {
            throw sum.refused("received the sum of a file that output.labels does not name; expected null");
        }
        return new OutputSpec(
                new TensorSpec(shape(node.get("shape")), node.get("dtype").choice("float32")),
                node.get("kind").choice("logits", "probabilities"),
                labels == null ? null : name(labels),
                sum == null ? null : sum.matching(SHA256, HEX));
    }

    private static BoundaryEntry boundary(Node node) {
        node.fields(new String[] {"student", "teacher"}, "encoder", "decoder");
        Node encoder = node.maybe("encoder");
        Node decoder = node.maybe("decoder");
        return new BoundaryEntry(tensor(node.get("student")), tensor(node.get("teacher")),
                encoder == null ? null : file(encoder), decoder == null ? null : file(decoder));
    }

    private static TensorSpec tensor(Node node) {
        node.fields(new String[] {"shape", "dtype"}, "scale", "zero_point");
        int[] shape = shape(node.get("shape"));
        String dtype = node.get("dtype").choice("float32", "float16", "int8", "uint8", "int16");
        Node scale = node.maybe("scale");
        Node zeroPoint = node.maybe("zero_point");
        if (dtype.startsWith("float")) {
            Node given = scale != null ? scale : zeroPoint;
            if (given != null) {
                throw given.refused("received " + given.value() + "; expected null, because " + dtype
                        + " is not quantized");
            }
            return new TensorSpec(shape, dtype);
        }
        if (scale == null || zeroPoint == null) {
            throw node.refused("scale and zero_point are needed with dtype " + dtype);
        }
        if (scale.number() <= 0) {
            throw scale.refused("received " + scale.value() + "; expected a number above 0");
        }
        int minimum = dtype.equals("uint8") ? 0 : dtype.equals("int8") ? Byte.MIN_VALUE : Short.MIN_VALUE;
        int maximum = dtype.equals("uint8") ? 255 : dtype.equals("int8") ? Byte.MAX_VALUE : Short.MAX_VALUE;
        return new TensorSpec(shape, dtype, scale.number(), (int) zeroPoint.integer(minimum, maximum));
    }

    private static FileEntry file(Node node) {
        node.fields(new String[] {"file", "bytes", "sha256"});
        return new FileEntry(name(node.get("file")),
                // TFLite cannot address a flatbuffer of 2 GiB or more.
                (int) node.get("bytes").integer(1, Integer.MAX_VALUE),
                node.get("sha256").matching(SHA256, HEX));
    }

    private static PathEntry path(Node node) {
        node.fields(new String[] {"mix", "resident_bytes"}, "accuracy", "latency_ms");
        Node accuracy = node.maybe("accuracy");
        Node latency = node.maybe("latency_ms");
        return new PathEntry(
                Mix.of(node.get("mix").matching(LETTERS, "one letter S or T per group")),
                accuracy == null ? null : accuracy.number(0, 1),
                node.get("resident_bytes").integer(0, Long.MAX_VALUE),
                latency == null ? null : latency.number(0, Double.POSITIVE_INFINITY));
    }

    /** Checked like the rest, but not kept: why a precision was chosen is for people who build. */
    private static void checkQuantization(@Nullable Node node, String precision) {
        if (node == null) {
            return;
        }
        node.fields(new String[] {"chosen", "method", "reason", "rungs"});
        List<String> rungs = new ArrayList<String>();
        for (Node rung : node.get("rungs").items(1)) {
            rung.fields(new String[] {"precision", "method", "bytes"}, "drop", "latency_ms");
            rungs.add(rung.get("precision").choice(PRECISIONS) + " " + rung.get("method").choice(METHODS));
            rung.get("bytes").integer(1, Long.MAX_VALUE);
            if (rung.maybe("drop") != null) {
                rung.get("drop").number(-100, 100);
            }
            if (rung.maybe("latency_ms") != null) {
                rung.get("latency_ms").number(0, Double.POSITIVE_INFINITY);
            }
        }
        String chosen = node.get("chosen").choice(PRECISIONS);
        String method = node.get("method").choice(METHODS);
        if (!rungs.contains(chosen + " " + method)) {
            throw node.get("chosen").refused("received '" + chosen + "' by '" + method
                    + "'; expected one of `rungs`");
        }
        node.get("reason").text();
        if (!chosen.equals(precision)) {
            throw node.get("chosen").refused("received '" + chosen + "'; expected '" + precision
                    + "', the bundle's precision");
        }
    }

    /** A plain file name: nothing that could lead out of the bundle's folder or hide in it. */
    private static String name(Node node) {
        String name = node.matching(PLAIN_NAME,
                "a plain file name of letters, digits, '_', '-' and '.', not hidden, without separators");
        String lower = name.toLowerCase(Locale.ROOT);
        if (lower.equals(Store.MANIFEST) || lower.equals(Store.SIGNATURE)) {
            throw node.refused("received '" + name + "', a name that the bundle format keeps for itself");
        }
        return name;
    }

    static boolean isPlainName(String name) {
        return PLAIN_NAME.matcher(name).matches();
    }

    /** Two to eight axes, all fixed; the first is the batch. */
    private static int[] shape(Node node) {
        int[] shape = integers(node.items(2), 1, Integer.MAX_VALUE);
        if (shape.length > MAX_AXES) {
            throw node.refused("received " + shape.length + " axes; expected at most " + MAX_AXES);
        }
        return shape;
    }

    private static int[] integers(List<Node> nodes, int minimum, int maximum) {
        int[] found = new int[nodes.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = (int) nodes.get(i).integer(minimum, maximum);
        }
        return found;
    }

    private static double[] numbers(List<Node> nodes) {
        double[] found = new double[nodes.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = nodes.get(i).number();
        }
        return found;
    }

    @Nullable
    private static String textOrNull(@Nullable Node node) {
        return node == null ? null : node.text();
    }
}
