package tfpwl.bench;

import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** What the command line asks for. */
final class Arguments {
    static final String USAGE = "--bundle PATH --out FILE [--rival NAME=FILE]... [--threads N] [--delegate cpu|gpu]"
            + " [--runs N] [--seconds S] [--seed N] [--library FILE]";
    /** The name that the bundle has among the subjects. */
    static final String BUNDLE = "bundle";

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_.-]+");

    File bundle;
    String out;
    final List<Rival> rivals = new ArrayList<Rival>();
    /** 0: as the manifest says. */
    int threads;
    boolean gpu;
    int runs = 5;
    double seconds = 1;
    long seed;
    /** TFLite's JNI library; null where the system finds it by its name. */
    File library;

    private Arguments() {
    }

    /**
     * Read a command line.
     *
     * @throws UsageException an unknown option, a value that makes no sense, or one of the required ones is missing
     */
    static Arguments parse(String[] words) {
        Arguments found = new Arguments();
        for (int i = 0; i < words.length; i += 2) {
            if (i + 1 == words.length) {
                throw refused(words[i] + " without a value", "an option and its value");
            }
            found.set(words[i], words[i + 1]);
        }
        if (found.bundle == null || found.out == null) {
            throw refused("no " + (found.bundle == null ? "--bundle" : "--out"), "both");
        }
        return found;
    }

    /** The value of {@code --out}, even where the rest cannot be understood; null when there is none. */
    static String findOut(String[] words) {
        for (int i = 0; i + 1 < words.length; i++) {
            if (words[i].equals("--out")) {
                return words[i + 1];
            }
        }
        return null;
    }

    private static UsageException refused(String received, String expected) {
        return new UsageException("Received " + received + "; expected " + expected + ". Usage: " + USAGE);
    }

    private void set(String option, String value) {
        if (option.equals("--bundle")) {
            bundle = new File(value);
        } else if (option.equals("--out")) {
            out = value;
        } else if (option.equals("--rival")) {
            rivals.add(rival(value));
        } else if (option.equals("--threads")) {
            threads = (int) number(option, value, 1, 1024);
        } else if (option.equals("--delegate")) {
            if (!value.equals("cpu") && !value.equals("gpu")) {
                throw refused("--delegate " + value, "cpu or gpu");
            }
            gpu = value.equals("gpu");
        } else if (option.equals("--runs")) {
            runs = (int) number(option, value, 1, 100000);
        } else if (option.equals("--seconds")) {
            seconds = seconds(value);
        } else if (option.equals("--seed")) {
            seed = number(option, value, Long.MIN_VALUE, Long.MAX_VALUE);
        } else if (option.equals("--library")) {
            library = new File(value).getAbsoluteFile();
        } else {
            throw refused("the option " + option, "one of the usage");
        }
    }

    private Rival rival(String value) {
        int equals = value.indexOf('=');
        String name = equals < 0 ? "" : value.substring(0, equals);
        if (!NAME.matcher(name).matches() || name.equals(BUNDLE)) {
            throw refused("--rival " + value, "NAME=FILE with a name of letters, digits, _ . - that is not 'bundle'");
        }
        for (Rival other : rivals) {
            if (other.name.equals(name)) {
                throw refused("--rival " + name + " twice", "another name for each");
            }
        }
        return new Rival(name, new File(value.substring(equals + 1)));
    }

    private static long number(String option, String value, long minimum, long maximum) {
        try {
            long number = Long.parseLong(value);
            if (number >= minimum && number <= maximum) {
                return number;
            }
        } catch (NumberFormatException exc) {
            // Refused below, with the range.
        }
        throw refused(option + " " + value, "a whole number from " + minimum + " to " + maximum);
    }

    private static double seconds(String value) {
        try {
            double seconds = Double.parseDouble(value);
            if (seconds >= 0 && seconds <= 3600) {
                return seconds;
            }
        } catch (NumberFormatException exc) {
            // Refused below, with the range.
        }
        throw refused("--seconds " + value, "a number from 0 to 3600");
    }

    Map<String, Object> toFields(int threadsUsed) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("threads", threadsUsed);
        fields.put("delegate", gpu ? "gpu" : "cpu");
        fields.put("runs", runs);
        fields.put("seconds", seconds);
        fields.put("seed", seed);
        List<Object> all = new ArrayList<Object>();
        for (Rival rival : rivals) {
            all.add(rival.toFields());
        }
        fields.put("rivals", all);
        return fields;
    }
}
