package tfpwl.bench;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import tfpwl.bundle.Fixtures;

/** A shell of this process whose lines are kept, with the engine of tests. */
final class Recorded implements Platform {
    final List<String> said = new ArrayList<>();
    final List<String> complaints = new ArrayList<>();

    Recorded() {
        System.setProperty("tfpwl.litert", (String) Fixtures.facts().get("litert_library"));
        System.setProperty("tfpwl.litert.level", (String) Fixtures.facts().get("tflite_level"));
    }

    /** Run the benchmark as a command line would; the shortest measurements that there are. */
    int run(File bundle, File out, String... more) {
        List<String> words = new ArrayList<>(List.of("--bundle", bundle.getPath(), "--out", out.getPath(),
                "--seconds", "0", "--runs", "2"));
        words.addAll(List.of(more));
        return Main.run(words.toArray(new String[0]), this);
    }

    String last() {
        return said.get(said.size() - 1);
    }

    @Override
    public String form() {
        return "jvm";
    }

    @Override
    public void say(String line) {
        said.add(line);
    }

    @Override
    public void complain(String line) {
        complaints.add(line);
    }

    @Override
    public File resolve(String out) {
        return new File(out);
    }

    @Override
    public Integer thermalStatus() {
        return 1;
    }
}
