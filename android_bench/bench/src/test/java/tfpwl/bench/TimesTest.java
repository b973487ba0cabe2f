package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TimesTest {
    @Test
    void theMedianIsTheMiddleOrTheMeanOfTheTwoInTheMiddle() {
        assertEquals(3, Times.of(9, 1, 3).median());
        assertEquals(2.5, Times.of(4, 1, 3, 2).median());
        assertTrue(Double.isNaN(new Times().median()));
    }

    @Test
    void percentilesAreValuesByNearestRank() {
        Times times = Times.of(IntStream.rangeClosed(1, 1000).mapToDouble(i -> 1001 - i).toArray());
        assertEquals(900, times.percentile(0.9));
        assertEquals(990, times.percentile(0.99));
        assertEquals(1000, times.max());
        assertEquals(1, times.percentile(0));
        assertEquals(7, Times.of(7).percentile(0.99));
    }

    @Test
    void valuesKeepTheirOrderHoweverManyThereAre() {
        double[] values = IntStream.range(0, 5000).mapToDouble(i -> i * 7919 % 5000).toArray();
        Times times = Times.of(values);
        times.median();
        assertArrayEquals(values, times.toArray());
        assertEquals(5000, times.count());
        assertThrows(IndexOutOfBoundsException.class, () -> times.get(5000));
    }
}
