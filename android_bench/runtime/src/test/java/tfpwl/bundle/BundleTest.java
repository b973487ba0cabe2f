package tfpwl.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tfpwl.BundleException;
import tfpwl.IntegrityException;
import tfpwl.ManifestException;
import tfpwl.Mix;

class BundleTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "fp32.tfpwl"})
    void aBundleSaysWhatItsManifestSays(String name) {
        Bundle bundle = Bundle.open(Fixtures.bundle(name));
        Manifest manifest = bundle.manifest();
        assertEquals("tiny", manifest.name());
        assertEquals("fp32", manifest.precision());
        assertNull(manifest.tier());
        assertEquals(3, manifest.numGroups());
        assertEquals("float32 [1, 6, 6, 1]", manifest.input().tensor.toString());
        assertEquals("[g0.teacher.tflite, b0.encoder.tflite, g1.student.tflite, g2.student.tflite]",
                manifest.chain(Mix.of("TSS")).toString());
        assertEquals("[g0.student.tflite, b0.decoder.tflite, g1.teacher.tflite, b1.encoder.tflite, "
                + "g2.student.tflite]", manifest.chain(Mix.of("STS")).toString());
        assertEquals(manifest.path().get(0).residentBytes, manifest.mixBytes(Mix.of("SSS")));
        assertEquals(10, manifest.loadOrder().size());
        assertEquals(Arrays.asList("ant", "bee", "cat", "dog"), bundle.labels());
        assertTrue(bundle.isSigned());
        assertTrue(bundle.missing().isEmpty());
    }

    @Test
    void whatIsNoBundleIsRefusedByWhatItIs() throws Exception {
        assertTrue(assertThrows(BundleException.class, () -> Bundle.open(folder.resolve("gone").toFile()))
                .getMessage().contains("it does not exist"));
        File text = Files.write(folder.resolve("text"), new byte[] {'x'}).toFile();
        assertTrue(assertThrows(BundleException.class, () -> Bundle.open(text)).getMessage()
                .startsWith("Received the file " + text));
        File empty = Files.write(folder.resolve("empty"), new byte[0]).toFile();
        assertThrows(BundleException.class, () -> Bundle.open(empty));
        assertTrue(assertThrows(ManifestException.class, () -> Bundle.open(folder.toFile())).getMessage()
                .startsWith("No manifest.json in " + folder));
    }

    /** As an app's AssetManager tells of it: a descriptor of the APK, an offset that is no multiple of a page. */
    @Test
    void aPackInsideAnApkIsReadInPlace() throws Exception {
        Map<String, Object> asset = Fixtures.map(Fixtures.facts().get("asset"));
        long offset = (Long) asset.get("offset");
        assertTrue(offset % 4096 != 0);
        Bundle bundle;
        try (RandomAccessFile apk = new RandomAccessFile(Fixtures.bundle("fp32.apk"), "r")) {
            bundle = Bundle.openPack("fp32.tfpwl", apk.getChannel(), offset, (Long) asset.get("length"),
                    Fixtures.key("right"));
        }
        Bundle plain = Bundle.open(Fixtures.bundle("fp32"));
        for (FileEntry entry : plain.manifest().files()) {
            ByteBuffer mapped = bundle.read(entry, true);
            assertTrue(mapped instanceof MappedByteBuffer);
            assertEquals(plain.read(entry, false), mapped);
        }
    }

    @Test
    void aRangeThatIsNotExactlyThePackIsRefused() throws Exception {
        Map<String, Object> asset = Fixtures.map(Fixtures.facts().get("asset"));
        long length = (Long) asset.get("length");
        try (RandomAccessFile apk = new RandomAccessFile(Fixtures.bundle("fp32.apk"), "r")) {
            // One byte less or more than the pack is no pack.
            assertThrows(IntegrityException.class, () -> Bundle.openPack("asset", apk.getChannel(),
                    (Long) asset.get("offset"), length - 1, null));
            assertThrows(IntegrityException.class, () -> Bundle.openPack("asset", apk.getChannel(),
                    (Long) asset.get("offset"), length + 1, null));
            assertThrows(BundleException.class, () -> Bundle.openPack("asset", apk.getChannel(),
                    (Long) asset.get("offset") + 1, length, null));
            assertThrows(BundleException.class, () -> Bundle.openPack("asset", apk.getChannel(),
                    apk.length() + 1, length, null));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "fp32.tfpwl"})
    void filesComeAsMapsOrCopiesThatAnInterpreterTakes(String name) {
        Bundle bundle = Bundle.open(Fixtures.bundle(name));
        FileEntry entry = bundle.manifest().files().get(0);
        for (boolean inPlace : new boolean[] {true, false}) {
            ByteBuffer data = bundle.read(entry, inPlace);
            assertTrue(data.isDirect());
            assertEquals(ByteOrder.nativeOrder(), data.order());
            assertEquals(entry.bytes, data.capacity());
            assertEquals(0, data.position());
            assertEquals(inPlace, data.isReadOnly());
        }
    }

    @Test
    void aFileThatChangesAfterOpeningIsSeenWhenItIsRead() throws Exception {
        for (Path file : Files.newDirectoryStream(Fixtures.bundle("fp32").toPath())) {
            Files.copy(file, folder.resolve(file.getFileName()));
        }
        Bundle bundle = Bundle.open(folder.toFile());
        FileEntry entry = bundle.manifest().files().get(1);
        Path path = folder.resolve(entry.file);
        byte[] data = Files.readAllBytes(path);
        data[100] ^= 1;
        Files.write(path, data);
        for (boolean inPlace : new boolean[] {true, false}) {
            assertTrue(assertThrows(IntegrityException.class, () -> bundle.read(entry, inPlace)).getMessage()
                    .contains("the content has SHA-256 "));
        }
        Files.write(path, Arrays.copyOf(data, 50));
        assertThrows(IntegrityException.class, () -> bundle.read(entry, true));
        Files.delete(path);
        assertThrows(IntegrityException.class, () -> bundle.read(entry, false));
    }

    @Test
    void aBundleThatIsStillArrivingOpensOnceItsStudentIsThere() throws Exception {
        for (Path file : Files.newDirectoryStream(Fixtures.bundle("fp32").toPath())) {
            if (!file.getFileName().toString().contains("teacher")) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        assertThrows(IntegrityException.class, () -> Bundle.open(folder.toFile()));
        Files.write(folder.resolve(".pulling"), new byte[0]);
        Bundle bundle = Bundle.open(folder.toFile());
        assertEquals("[g0.teacher.tflite, g1.teacher.tflite, g2.teacher.tflite]", bundle.missing().toString());
    }

    @Test
    void labelsAreReadAsPythonReadsThem() {
        byte[] lines = "a\u2028b\u000bc\u001cd\u0085e\r\nf\rg\n".getBytes(StandardCharsets.UTF_8);
        assertEquals(Arrays.asList("a", "b", "c", "d", "e", "f", "g"), Labels.parse("labels.txt", lines, 7));
        assertEquals(Arrays.asList("", "b"), Labels.parse("labels.txt", "\nb".getBytes(StandardCharsets.UTF_8), 2));
        assertEquals("labels.txt: received 7 lines; expected 6, one per class.",
                assertThrows(tfpwl.ContractException.class, () -> Labels.parse("labels.txt", lines, 6)).getMessage());
        assertThrows(tfpwl.ContractException.class,
                () -> Labels.parse("labels.txt", new byte[] {(byte) 0xff}, 1));
    }

    @Test
    void numbersAreReadAsPythonReadsThem() {
        assertEquals(-0.0, number("-0.0"));
        assertEquals(0L, value("-0"));
        assertEquals(1e22, number("1E+22"));
        assertEquals(Double.MIN_VALUE, number("4.9e-324"));
        assertFalse(value("9223372036854775808") instanceof Long);
        byte[] digits = new byte[4301];
        Arrays.fill(digits, (byte) '1');
        assertThrows(ManifestException.class, () -> Json.parse(digits, digits.length, Document.MANIFEST));
    }

    private static double number(String text) {
        return (Double) value(text);
    }

    private static Object value(String text) {
        return Json.parse(text.getBytes(StandardCharsets.UTF_8), 100, Document.MANIFEST).value();
    }

    @Test
    void mixesAreCheckedAndCompared() {
        assertEquals(Mix.of("TTS"), Mix.of("TSS").withTeacher(1));
        assertEquals("[SS, ST, TT]", Mix.path(new int[] {1, 0}).toString());
        for (String wrong : new String[] {"", "X", "tt", "S S"}) {
            assertThrows(IllegalArgumentException.class, () -> Mix.of(wrong));
        }
        assertThrows(IllegalArgumentException.class, () -> Mix.path(new int[0]));
        assertThrows(IllegalArgumentException.class, () -> Mix.path(new int[] {1, 2}));
    }
}
