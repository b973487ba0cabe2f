package tfpwl.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tfpwl.ManifestException;

/** Manifests changed at random: this parser takes what Python's takes, and nothing else. */
class MutationsTest {
    @Test
    void bothParsersTakeTheSameManifests() {
        List<Object> rows = Fixtures.list(Fixtures.json("mutations.json"));
        int accepted = 0;
        for (Object row : rows) {
            Map<String, Object> mutation = Fixtures.map(row);
            byte[] data = Fixtures.hex((String) mutation.get("manifest"));
            boolean taken = true;
            try {
                Manifest.parse(data);
                accepted++;
            } catch (ManifestException exc) {
                taken = false;
            }
            assertEquals(mutation.get("accepted"), taken, () -> new String(data, StandardCharsets.UTF_8));
        }
        // Both verdicts must come up, or the test would see nothing.
        assertTrue(accepted > 30 && accepted < rows.size() - 30, String.valueOf(accepted));
    }
}
