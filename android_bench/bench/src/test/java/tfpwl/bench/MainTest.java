package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tfpwl.bundle.Fixtures;

/** The whole program in this process, on real bundles and files. */
class MainTest {
    @TempDir File folder;
    private final Recorded shell = new Recorded();

    private File out() {
        return new File(folder, "result.json");
    }

    private Map<String, Object> result() {
        return Fixtures.map(Fixtures.parse(out()));
    }

    private List<Map<String, Object>> rows(String key) {
        return Fixtures.list(result().get(key)).stream().map(Fixtures::map).collect(Collectors.toList());
    }

    private static String rival(String name) {
        return name + "=" + Fixtures.file("rivals/" + name + ".tflite");
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "fp32.tfpwl", "int8"})
    void aBundleIsMeasuredAndEveryAnswerDuringUpgradesIsRight(String name) {
        assertEquals(0, shell.run(Fixtures.bundle(name), out()), shell.complaints.toString());
        assertEquals(Arrays.asList("tfpwl-bench: run 1 of 2: bundle", "tfpwl-bench: run 2 of 2: bundle",
                "TFPWL-BENCH EXIT 0"), shell.said);
        assertNull(result().get("error"));
        assertEquals(Arrays.asList("SSS", "TSS", "TTS", "TTT"), Fixtures.map(result().get("bundle")).get("mixes"));
        for (Map<String, Object> upgrade : rows("upgrades")) {
            List<Object> taken = Fixtures.list(upgrade.get("taken_ms"));
            assertEquals((long) taken.size(), upgrade.get("num_answers"));
            // Five are asked after the last swap, however fast it comes.
            assertTrue(taken.size() >= 5);
            assertEquals(0L, upgrade.get("wrong"));
            assertEquals(0L, upgrade.get("lost"));
            assertEquals(3L, Fixtures.list(upgrade.get("mix_after")).get(taken.size() - 1));
            List<Object> mixes = Fixtures.list(upgrade.get("mixes"));
            assertEquals("SSS", Fixtures.map(mixes.get(0)).get("mix"));
            assertEquals("TTT", Fixtures.map(mixes.get(mixes.size() - 1)).get("mix"));
        }
        assertEquals(8, rows("steady").size());
        // One of the process is fresh.
        assertArrayEquals(new Object[] {true, false}, rows("starts").stream().map(row -> row.get("fresh")).toArray());
        assertFalse(new File(out() + ".partial").exists());
    }

    @Test
    void rivalsAreMeasuredInARandomOrderAndComparedWithTheirChain() {
        assertEquals(0, shell.run(Fixtures.bundle("fp32"), out(), "--rival", rival("teacher"), "--rival",
                rival("student"), "--runs", "8", "--seed", "3"), shell.complaints.toString());
        Set<String> orders = new TreeSet<>();
        for (int run = 0; run < 8; run++) {
            long number = run;
            List<Object> order = rows("starts").stream().filter(row -> row.get("run").equals(number))
                    .map(row -> row.get("subject")).collect(Collectors.toList());
            assertEquals(new TreeSet<Object>(Arrays.asList("bundle", "student", "teacher")), new TreeSet<>(order));
            orders.add(order.toString());
        }
        // 1 / 6^7 that a shuffle gives the same order eight times.
        assertTrue(orders.size() > 1, orders.toString());
        assertEquals(16, rows("compared").size());
        for (Map<String, Object> row : rows("compared")) {
            assertEquals(row.get("rival").equals("student") ? "SSS" : "TTT", row.get("mix"));
            double ratio = (double) row.get("chain_ms") / (double) row.get("rival_ms");
            // Times of some microseconds are written to the nanosecond.
            assertEquals(ratio, (double) row.get("ratio"), 1e-2 * ratio);
        }
    }

    @Test
    void theSeedDecidesTheOrder() {
        Object[] orders = new Object[2];
        for (int i = 0; i < 2; i++) {
            assertEquals(0, shell.run(Fixtures.bundle("fp32"), out(), "--rival", rival("teacher"), "--runs", "6",
                    "--seed", "11"));
            orders[i] = rows("starts").stream().map(row -> row.get("subject")).collect(Collectors.toList());
        }
        assertEquals(orders[0], orders[1]);
    }

    @Test
    void theSummaryIsThatOfTheRows() {
        assertEquals(0, shell.run(Fixtures.bundle("fp32"), out(), "--rival", rival("teacher"), "--runs", "3"));
        Map<String, Object> summary = Fixtures.map(result().get("summary"));
        double[] medians = rows("steady").stream().filter(row -> "TTT".equals(row.get("mix")))
                .mapToDouble(row -> (double) row.get("median_ms")).sorted().toArray();
        assertEquals(medians[1], Fixtures.map(Fixtures.map(summary.get("steady")).get("TTT")).get("median_ms"));
        double[] ratios = rows("compared").stream().mapToDouble(row -> (double) row.get("ratio")).sorted().toArray();
        assertEquals(ratios[1], Fixtures.map(Fixtures.map(summary.get("subjects")).get("teacher")).get("chain_ratio"));
        assertEquals(rows("upgrades").stream().mapToDouble(row -> (double) row.get("worst_ms")).max().getAsDouble(),
                Fixtures.map(summary.get("upgrade")).get("worst_ms"));
    }

    /** The corpus that the runtime is tested with: what it refuses, the program reports. */
    @TestFactory
    Stream<DynamicTest> aBrokenBundleEndsWithItsErrorInTheResult() {
        return Fixtures.list(Fixtures.json("corpus.json")).stream().map(Fixtures::map)
                .filter(row -> row.get("error") != null && row.get("key") == null)
                .map(row -> DynamicTest.dynamicTest((String) row.get("name"), () -> checkRefused(row)));
    }

    private void checkRefused(Map<String, Object> row) {
        Map<String, String> codes = Map.of("ManifestError", "manifest", "IntegrityError", "integrity", "ContractError",
                "contract", "BundleError", "bundle", "RuntimeTooOldError", "runtime_too_old", "EngineError", "engine");
        String code = codes.get(row.get("error"));
        int exitCode = code.equals("engine") ? 1 : 2;
        assertEquals(exitCode, shell.run(Fixtures.file("corpus/" + row.get("name")), out()));
        assertEquals("TFPWL-BENCH EXIT " + exitCode, shell.last());
        Map<String, Object> error = Fixtures.map(result().get("error"));
        assertEquals(code, error.get("code"), error.toString());
        assertTrue(((String) error.get("message")).contains((String) row.get("says")), error.toString());
        assertEquals("tfpwl-bench: error: " + code + ": " + error.get("message"),
                shell.complaints.get(shell.complaints.size() - 1));
    }

    @Test
    void anErrorTakesThePlaceOfAnOlderResult() throws Exception {
        Files.write(out().toPath(), "older".getBytes("UTF-8"));
        assertEquals(2, shell.run(new File(folder, "absent"), out()));
        assertEquals(Set.of("format", "version", "tool", "arguments", "device", "error"), result().keySet());
        assertEquals("bundle", Fixtures.map(result().get("error")).get("code"));
        assertEquals(Arrays.asList("result.json"), Arrays.asList(folder.list()));
    }

    @Test
    void aWrongCommandLineIsReportedInTheResultToo() {
        assertEquals(2, shell.run(Fixtures.bundle("fp32"), out(), "--speed", "9"));
        assertEquals("usage", Fixtures.map(result().get("error")).get("code"));
        assertEquals("TFPWL-BENCH EXIT 2", shell.last());
    }

    @Test
    void withoutACommandLineThereAreOnlyTheLines() {
        assertEquals(2, Main.run(new String[0], shell));
        assertEquals("TFPWL-BENCH EXIT 2", shell.last());
        assertTrue(shell.complaints.get(0).startsWith("tfpwl-bench: error: usage: Received no --bundle"));
    }

    @Test
    void aResultThatCannotBeWrittenIsFoundBeforeAnythingIsMeasured() {
        File absent = new File(folder, "absent/result.json");
        assertEquals(2, shell.run(Fixtures.bundle("fp32"), absent));
        assertEquals(List.of("TFPWL-BENCH EXIT 2"), shell.said);
        assertTrue(shell.complaints.get(0).startsWith("tfpwl-bench: error: output: Cannot write " + absent),
                shell.complaints.toString());
        assertFalse(absent.getParentFile().exists());
    }

    @Test
    void aRivalThatIsNoModelOrAnotherOneIsRefused() throws Exception {
        File junk = new File(folder, "junk.tflite");
        Files.write(junk.toPath(), new byte[1000]);
        assertEquals(1, shell.run(Fixtures.bundle("fp32"), out(), "--rival", "teacher=" + junk));
        assertEquals("engine", Fixtures.map(result().get("error")).get("code"));
        assertEquals(2, shell.run(Fixtures.bundle("fp32"), out(), "--rival",
                "teacher=" + Fixtures.file("bundles/fp32/g1.teacher.tflite")));
        String message = (String) Fixtures.map(result().get("error")).get("message");
        assertTrue(message.endsWith("expected 144 bytes in and 16 bytes out, as the bundle has."), message);
        assertEquals(2, shell.run(Fixtures.bundle("fp32"), out(), "--rival", "teacher=" + folder));
        message = (String) Fixtures.map(result().get("error")).get("message");
        assertTrue(message.contains("which is no file; expected a .tflite file"), message);
    }

    @Test
    void lostOrWrongAnswersAreAFailure() {
        Map<String, Object> good = Map.of("lost", 0L, "wrong", 0L, "num_answers", 90L);
        assertNull(Main.judge(Map.of("summary", Map.of("upgrade", good))));
        Map<String, Object> bad = Map.of("lost", 1L, "wrong", 2L, "num_answers", 90L);
        Failure failure = Main.judge(Map.of("summary", Map.of("upgrade", bad)));
        assertEquals("answers", failure.code);
        assertEquals(1, failure.exitCode);
        assertEquals("Of 91 answers during upgrades 1 were lost and 2 were those of no mix.", failure.message);
    }
}
