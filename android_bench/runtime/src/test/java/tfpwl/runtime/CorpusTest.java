package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import tfpwl.TfpwlException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.PublicKey;

/** The table of broken bundles that Python is tested with, too: the same refusals on both sides. */
class CorpusTest {
    @TestFactory
    Stream<DynamicTest> aBrokenBundleIsRefusedAsTheTableSays() {
        List<Object> table = Fixtures.list(Fixtures.json("corpus.json"));
        assertTrue(table.size() > 180);
        return table.stream().map(Fixtures::map)
                .map(row -> DynamicTest.dynamicTest((String) row.get("name"), () -> check(row)));
    }

    private static void check(Map<String, Object> row) throws Exception {
        File path = Fixtures.file("corpus/" + row.get("name"));
        PublicKey key = row.get("key") == null ? null : Fixtures.key((String) row.get("key"));
        GatedEngine engine = new GatedEngine();
        ModelOptions options = new ModelOptions().engine(engine);
        if (row.get("error") != null && row.get("at").equals("open")) {
            refused(row, () -> ProgressiveModel.open(Bundle.open(path, key), options).close());
            assertEquals(0, engine.openGroups.get());
            return;
        }
        try (ProgressiveModel model = ProgressiveModel.open(Bundle.open(path, key), options)) {
            if (row.get("error") == null) {
                model.upgradeNow(null, null);
                assertEquals(State.COMPLETE, model.state());
            } else {
                refused(row, () -> model.upgradeNow(null, null));
                assertEquals(State.FAILED, model.state());
                // The step that failed left the mix before it answering.
                assertTrue(model.mix().hasStudent());
                assertEquals(model.bundle().manifest().chain(model.mix()).size(), engine.openGroups.get());
            }
            for (float one : model.predict(new float[36])) {
                assertTrue(Float.isFinite(one));
            }
        }
        assertEquals(0, engine.openGroups.get());
        assertEquals(0, engine.openBindings.get());
    }

    private static void refused(Map<String, Object> row, org.junit.jupiter.api.function.Executable what) {
        TfpwlException error = assertThrows(TfpwlException.class, what);
        String expected = ((String) row.get("error")).replace("Error", "Exception");
        assertEquals(expected, error.getClass().getSimpleName(), error.getMessage());
        assertTrue(error.getMessage().contains((String) row.get("says")), error.getMessage());
    }
}
