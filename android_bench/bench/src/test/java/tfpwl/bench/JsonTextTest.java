package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.bundle.Fixtures;

class JsonTextTest {
    @TempDir Path folder;

    @Test
    void aStrictParserReadsBackWhatWasWritten() throws Exception {
        Map<String, Object> written = new LinkedHashMap<>();
        written.put("text \"\\\n\t\0\u001f é \ud83d\ude00", "\ud83d\ude00 /");
        written.put("numbers", Arrays.<Object>asList(0L, -1L, Long.MAX_VALUE, 0.1, 1e-6, 12345678.901234));
        written.put("rest", Arrays.<Object>asList(true, null, Collections.emptyMap(), Collections.emptyList()));
        Path file = folder.resolve("text.json");
        Files.write(file, JsonText.of(written).getBytes("UTF-8"));
        assertEquals(written, Fixtures.parse(file.toFile()));
    }

    @Test
    void whatIsNoNumberIsNullAndDigitsEndAtNanoseconds() {
        assertEquals("[null, null, 0.333333]\n",
                JsonText.of(new double[] {Double.NaN, Double.POSITIVE_INFINITY, 1 / 3.0}));
        assertThrows(IllegalArgumentException.class, () -> JsonText.of(new Object()));
    }
}
