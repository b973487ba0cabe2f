package tfpwl.android;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import tfpwl.runtime.DeviceFacts;

/** What can be seen of it without a device; the calls themselves are compiled against Android and its API list. */
class DevicesTest {
    /** Stands for {@code Build.VERSION} of Android 12 and newer, which is not what the tests run with. */
    public static final class NewerVersion {
        public static final int MEDIA_PERFORMANCE_CLASS = 33;
        static final int HIDDEN = 34;

        private NewerVersion() {
        }
    }

    @Test
    void theClassIsReadWhereTheSystemHasIt() {
        assertEquals(33, Devices.intField(NewerVersion.class, "MEDIA_PERFORMANCE_CLASS"));
        assertEquals(0, Devices.intField(NewerVersion.class, "HIDDEN"));
        assertEquals(0, Devices.intField(NewerVersion.class, "MISSING"));
    }

    @Test
    void anAndroidWithoutClassesHasNone() {
        assertEquals(0, Devices.performanceClass(24));
        assertEquals(0, Devices.performanceClass(30));
        // The framework of the tests is Android 7, whatever level it is told.
        assertEquals(0, Devices.performanceClass(31));
    }

    @Test
    void factsAreWhatAndroidSays() {
        String[] abis = {"arm64-v8a", "armeabi-v7a"};
        DeviceFacts facts = Devices.facts(5L << 30, true, abis, 7, 33);
        abis[0] = "changed";
        assertEquals(5L << 30, facts.ramBytes);
        assertEquals(Arrays.asList("arm64-v8a", "armeabi-v7a"), facts.abis);
        assertEquals(7, facts.freeBytes);
        assertEquals(Runtime.getRuntime().availableProcessors(), facts.cores);
        assertEquals(true, facts.lowRam);
        assertEquals(Integer.valueOf(33), facts.performanceClass);
    }
}
