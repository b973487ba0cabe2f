package tfpwl.bench.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

class BenchActivityTest {
    @Test
    void theIntentsTextIsSplitAtSpaces() {
        assertArrayEquals(new String[] {"--bundle", "/b", "--out", "o.json"},
                BenchActivity.split("  --bundle /b\t--out  o.json\n"));
        assertArrayEquals(new String[0], BenchActivity.split(" "));
    }
}
