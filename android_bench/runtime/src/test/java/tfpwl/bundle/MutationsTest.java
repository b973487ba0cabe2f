package tfpwl.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import tfpwl.BundleException;
import tfpwl.ManifestException;
import tfpwl.TiersException;

/** Documents changed at random: this library's parsers take what Python's take, and nothing else. */
class MutationsTest {
    @Test
    void bothParsersTakeTheSameManifests() {
        check("mutations.json", Manifest::parse, ManifestException.class);
    }

    @Test
    void bothParsersTakeTheSameTiers() {
        check("tier_mutations.json", Tiers::parse, TiersException.class);
    }

    private static void check(String table, Consumer<byte[]> parser, Class<? extends BundleException> refused) {
        List<Object> rows = Fixtures.list(Fixtures.json(table));
        int accepted = 0;
        for (Object row : rows) {
            Map<String, Object> mutation = Fixtures.map(row);
            byte[] data = Fixtures.hex((String) mutation.get("text"));
            boolean taken = true;
            try {
                parser.accept(data);
                accepted++;
            } catch (BundleException exc) {
                assertEquals(refused, exc.getClass());
                taken = false;
            }
            assertEquals(mutation.get("accepted"), taken, () -> new String(data, StandardCharsets.UTF_8));
        }
        // Both verdicts must come up, or the test would see nothing.
        assertTrue(accepted > 30 && accepted < rows.size() - 30, String.valueOf(accepted));
    }
}
