package tfpwl.bench;

import android.os.Build;
import android.os.Debug;
import android.os.Process;
import java.util.LinkedHashMap;
import java.util.Map;

/** What only Android knows; touched nowhere else, so that the rest runs where there is no Android. */
final class AndroidFacts {
    private static final int API_WITH_SOC = 31;

    private AndroidFacts() {
    }

    static Map<String, Object> build() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("api", Build.VERSION.SDK_INT);
        fields.put("release", Build.VERSION.RELEASE);
        fields.put("manufacturer", Build.MANUFACTURER);
        fields.put("model", Build.MODEL);
        fields.put("device", Build.DEVICE);
        fields.put("soc", Build.VERSION.SDK_INT >= API_WITH_SOC ? soc() : Build.HARDWARE);
        fields.put("fingerprint", Build.FINGERPRINT);
        return fields;
    }

    private static String soc() {
        try {
            return (String) Build.class.getField("SOC_MODEL").get(null);
        } catch (NoSuchFieldException exc) {
            return Build.HARDWARE;
        } catch (IllegalAccessException exc) {
            return Build.HARDWARE;
        }
    }

    /** Of this process, not of the device: a 64-bit device may run it with 32 bits. */
    static String abi() {
        String[] abis = Process.is64Bit() ? Build.SUPPORTED_64_BIT_ABIS : Build.SUPPORTED_32_BIT_ABIS;
        return abis.length == 0 ? Build.SUPPORTED_ABIS[0] : abis[0];
    }

    static long pssBytes() {
        return 1024 * Debug.getPss();
    }
}
