package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.bundle.Fixtures;

/** A process of its own, as app_process is: TFLite's own interpreter, its JNI library loaded by path. */
class ProcessTest {
    @TempDir File folder;
    private List<String> lines;

    private static File desktop(String path) {
        return new File(System.getProperty("tfpwl.desktop"), path);
    }

    private int run(String... words) throws Exception {
        String classPath = String.join(File.pathSeparator, new File("target/classes").getAbsolutePath(),
                desktop("classes").getPath(), desktop("dependency/tflite-engine.jar").getPath());
        List<String> command = new ArrayList<>(List.of(new File(System.getProperty("java.home"), "bin/java").getPath(),
                "-cp", classPath, "tfpwl.bench.Main", "--out", "result.json"));
        command.addAll(List.of(words));
        Process process = new ProcessBuilder(command).directory(folder)
                .redirectOutput(new File(folder, "lines")).redirectError(new File(folder, "errors")).start();
        if (!process.waitFor(5, TimeUnit.MINUTES)) {
            process.destroyForcibly();
            throw new AssertionError("the benchmark hangs");
        }
        lines = Files.readAllLines(new File(folder, "lines").toPath());
        return process.exitValue();
    }

    private Map<String, Object> result() {
        return Fixtures.map(Fixtures.parse(new File(folder, "result.json")));
    }

    @Test
    void theInterpreterRunsABundleAndTheLastLineIsTheMarker() throws Exception {
        int code = run("--bundle", Fixtures.bundle("fp32.tfpwl").getPath(), "--library",
                desktop("native/native/lib/libtensorflowlite_jni.so").getPath(), "--runs", "2", "--seconds", "0",
                "--threads", "2", "--rival", "teacher=" + Fixtures.file("rivals/teacher.tflite"));
        assertEquals(0, code, new String(Files.readAllBytes(new File(folder, "errors").toPath()), "UTF-8"));
        assertEquals("TFPWL-BENCH EXIT 0", lines.get(lines.size() - 1));
        assertEquals(Map.of("name", "interpreter", "tflite", "2.6.2"), result().get("engine"));
        assertEquals(2L, Fixtures.map(result().get("options")).get("threads"));
        assertEquals(4, Fixtures.list(result().get("starts")).size());
    }

    @Test
    void aLibraryOfAnotherMachineIsNamed() throws Exception {
        File library = new File(folder, "libtensorflowlite_jni.so");
        Files.write(library.toPath(), new byte[100]);
        assertEquals(1, run("--bundle", Fixtures.bundle("fp32").getPath(), "--library", library.getPath()));
        assertEquals(List.of("TFPWL-BENCH EXIT 1"), lines);
        Map<String, Object> error = Fixtures.map(result().get("error"));
        assertEquals("engine", error.get("code"));
        String message = (String) error.get("message");
        assertTrue(message.startsWith("Received the library " + library), message);
        assertTrue(message.endsWith("Expected TFLite's JNI library for " + Device.abi() + "."), message);
    }

    @Test
    void withoutALibraryTheErrorSaysSo() throws Exception {
        assertEquals(1, run("--bundle", Fixtures.bundle("fp32").getPath()));
        assertEquals("engine", Fixtures.map(result().get("error")).get("code"));
    }

    @Test
    void theGpuOfAMachineThatHasNoneIsAnError() throws Exception {
        assertEquals(1, run("--bundle", Fixtures.bundle("fp32").getPath(), "--delegate", "gpu", "--library",
                desktop("native/native/lib/libtensorflowlite_jni.so").getPath()));
        String message = (String) Fixtures.map(result().get("error")).get("message");
        assertTrue(message.contains("libtensorflowlite_gpu_jni.so"), message);
    }
}
