package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ArgumentsTest {
    @Test
    void everyOptionIsRead() {
        Arguments read = Arguments.parse(("--bundle b --out o --rival teacher=t.tflite --rival student.int8=s"
                + " --threads 4 --delegate gpu --runs 3 --seconds 0.25 --seed -7 --library /l/lib.so").split(" "));
        assertEquals(new File("b"), read.bundle);
        assertEquals("o", read.out);
        assertEquals("teacher", read.rivals.get(0).name);
        assertFalse(read.rivals.get(0).isStudent());
        assertEquals(new File("s"), read.rivals.get(1).file);
        assertTrue(read.rivals.get(1).isStudent());
        assertEquals(4, read.threads);
        assertTrue(read.gpu);
        assertEquals(3, read.runs);
        assertEquals(0.25, read.seconds);
        assertEquals(-7, read.seed);
        assertEquals(new File("/l/lib.so"), read.library);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "--bundle b                                   | Received no --out",
        "--out o                                      | Received no --bundle",
        "--bundle b --out                             | Received --out without a value",
        "--bundle b --out o --speed 9                 | Received the option --speed",
        "--bundle b --out o --threads 0               | Received --threads 0; expected a whole number from 1 to 1024",
        "--bundle b --out o --runs many               | Received --runs many",
        "--bundle b --out o --seconds NaN             | Received --seconds NaN; expected a number from 0 to 3600",
        "--bundle b --out o --seconds -1              | Received --seconds -1",
        "--bundle b --out o --delegate npu            | Received --delegate npu; expected cpu or gpu",
        "--bundle b --out o --rival t.tflite          | Received --rival t.tflite; expected NAME=FILE",
        "--bundle b --out o --rival bundle=t          | a name of letters, digits, _ . - that is not 'bundle'",
        "--bundle b --out o --rival a/b=t             | a name of letters",
        "--bundle b --out o --rival t=a --rival t=b   | Received --rival t twice",
    })
    void whatMakesNoSenseIsRefusedWithTheUsage(String line, String message) {
        String found = assertThrows(UsageException.class, () -> Arguments.parse(line.split(" "))).getMessage();
        assertTrue(found.contains(message), found);
        assertTrue(found.endsWith("Usage: " + Arguments.USAGE), found);
    }

    @Test
    void theResultsNameIsFoundInALineThatIsRefused() {
        assertEquals("o", Arguments.findOut("--speed --out o".split(" ")));
        assertNull(Arguments.findOut("--bundle b --out".split(" ")));
    }
}
