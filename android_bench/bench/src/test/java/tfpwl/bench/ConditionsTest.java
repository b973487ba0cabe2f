package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Folders made as the kernel's are; there is no thermal zone where tests run. */
class ConditionsTest {
    @TempDir Path folder;

    private void write(String path, String text) throws IOException {
        Files.createDirectories(folder.resolve(path).getParent());
        Files.write(folder.resolve(path), text.getBytes("UTF-8"));
    }

    @Test
    void zonesAreInDegreesAndThoseThatSayNothingAreLeftOut() throws IOException {
        write("thermal_zone0/type", "cpu-0-0\n");
        write("thermal_zone0/temp", "41200\n");
        write("thermal_zone1/type", "broken\n");
        write("thermal_zone1/temp", "no number\n");
        write("thermal_zone2/type", "whole degrees\n");
        write("thermal_zone2/temp", "38\n");
        write("thermal_zone3/type", "cold\n");
        write("thermal_zone3/temp", "-4000\n");
        List<Object> zones = Conditions.zones(folder.toFile());
        assertEquals("[{name=cpu-0-0, celsius=41.2}, {name=whole degrees, celsius=38.0}, {name=cold, celsius=-4.0}]",
                zones.toString());
    }

    @Test
    void coresThatAreOffAreLeftOutAndWhatTheySayNothingOfIsNull() throws IOException {
        write("cpu0/cpufreq/scaling_cur_freq", "1804800\n");
        write("cpu0/cpufreq/scaling_min_freq", "300000\n");
        write("cpu0/cpufreq/scaling_max_freq", "1804800\n");
        write("cpu0/cpufreq/scaling_governor", "schedutil\n");
        write("cpu1/online", "0\n");
        write("cpu2/cpufreq/scaling_max_freq", "2400000\n");
        assertEquals("[{cpu=0, khz=1804800, min_khz=300000, max_khz=1804800, governor=schedutil}, "
                + "{cpu=2, khz=null, min_khz=null, max_khz=2400000, governor=null}]",
                Conditions.cpus(folder.toFile()).toString());
    }

    @Test
    void whereThereIsNothingThereIsNothing() {
        assertTrue(Conditions.zones(folder.toFile()).isEmpty());
        assertTrue(Conditions.cpus(folder.resolve("absent").toFile()).isEmpty());
    }
}
