package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.NoTierException;
import tfpwl.SignatureException;
import tfpwl.TiersException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.Tier;
import tfpwl.bundle.Tiers;

/** The table of devices that Python is tested on, too: the same tiers for the same reasons, word for word. */
class TierChoiceTest {
    @TestFactory
    Stream<DynamicTest> aDeviceTakesTheTierOfTheTable() {
        List<Object> rows = Fixtures.list(Fixtures.map(Fixtures.json("devices.json")).get("devices"));
        assertTrue(rows.size() >= 25);
        return rows.stream().map(Fixtures::map)
                .map(row -> DynamicTest.dynamicTest((String) row.get("name"), () -> check(row)));
    }

    private static void check(Map<String, Object> row) {
        Tiers tiers = tiers((String) row.get("tiers"));
        DeviceFacts device = device(Fixtures.map(row.get("device")));
        if (row.get("tier") == null) {
            NoTierException error = assertThrows(NoTierException.class, () -> TierChoice.select(tiers, device));
            assertEquals(row.get("reason"), error.getMessage());
            return;
        }
        TierChoice choice = TierChoice.select(tiers, device);
        assertEquals(row.get("tier"), choice.tier().name);
        assertEquals(row.get("fallback"), choice.isFallback());
        assertEquals(row.get("unmet"), choice.unmet());
        assertEquals(row.get("reason"), choice.reason());
    }

    private static DeviceFacts device(Map<String, Object> facts) {
        List<String> abis = new ArrayList<>();
        for (Object abi : Fixtures.list(facts.get("abis"))) {
            abis.add((String) abi);
        }
        Long level = (Long) facts.get("performance_class");
        return new DeviceFacts((Long) facts.get("ram_bytes"), ((Long) facts.get("cores")).intValue(), abis,
                (Long) facts.get("free_bytes"), (Boolean) facts.get("low_ram"), level == null ? null
                : Integer.valueOf(level.intValue()));
    }

    private static Tiers tiers(String document) {
        Map<String, Object> documents = Fixtures.map(Fixtures.map(Fixtures.json("devices.json")).get("documents"));
        return Tiers.parse(((String) documents.get(document)).getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void aTierOpensItsBundle() throws Exception {
        File file = Fixtures.file("tiers.json");
        Tiers tiers = Tiers.read(file);
        Tier tier = TierChoice.select(tiers, device(Map.of("ram_bytes", 1L << 33, "cores", 8L, "abis",
                List.of("arm64-v8a"), "free_bytes", 1L << 33, "low_ram", false, "performance_class", 33L))).tier();
        assertEquals("bundles/fp32", tier.bundle);
        assertEquals("fp32 1 xnnpack", tier.precision + " " + tier.threads + " " + tier.delegate);
        Bundle bundle = tier.open(file.getParentFile(), Fixtures.key("right"));
        assertEquals(3, bundle.manifest().numGroups());
        assertThrows(SignatureException.class, () -> tier.open(file.getParentFile(), Fixtures.key("other")));
        // A pack of the same bundle has the same manifest; that of another precision has not.
        tier.check(Bundle.open(Fixtures.bundle("fp32.tfpwl")));
        TiersException error = assertThrows(TiersException.class,
                () -> tier.check(Bundle.open(Fixtures.bundle("int8"))));
        assertTrue(error.getMessage().contains("is another bundle than the tier 'low' names"), error.getMessage());
    }

    @Test
    void aStreamIsReadAsAFileIs() throws Exception {
        try (InputStream stream = new FileInputStream(Fixtures.file("tiers.json"))) {
            assertEquals(Tiers.read(Fixtures.file("tiers.json")).order, Tiers.read(stream).order);
        }
        TiersException error = assertThrows(TiersException.class,
                () -> Tiers.read(new ByteArrayInputStream(new byte[1 << 20])));
        assertTrue(error.getMessage().startsWith("The file tiers.json has 2"), error.getMessage());
        assertTrue(error.getMessage().endsWith("bytes; at most 262144 are read."), error.getMessage());
    }

    @Test
    void whatIsNoPlainFileIsRefused(@TempDir Path folder) throws Exception {
        assertThrows(TiersException.class, () -> Tiers.read(folder.toFile()));
        assertThrows(TiersException.class, () -> Tiers.read(folder.resolve("tiers.json").toFile()));
        Files.createSymbolicLink(folder.resolve("tiers.json"), Fixtures.file("tiers.json").toPath());
        assertThrows(TiersException.class, () -> Tiers.read(folder.resolve("tiers.json").toFile()));
    }

    @Test
    void messagesSpeakOfTheFileAndThePlace() {
        assertEquals("The file tiers.json is not UTF-8; build the tiers again.",
                assertThrows(TiersException.class, () -> Tiers.parse(new byte[] {(byte) 0xff})).getMessage());
        TiersException error = assertThrows(TiersException.class,
                () -> Tiers.parse("{\"format\": 1, \"version\": 1}".getBytes(StandardCharsets.UTF_8)));
        assertEquals("format: received 1; expected a string", error.getMessage());
        error = assertThrows(TiersException.class, () -> tiers("defaults").get("best"));
        assertEquals("Received tier 'best'; expected one of high, mid, low.", error.getMessage());
        assertFalse(tiers("defaults").get("mid").requires.lowRamAllowed);
    }
}
