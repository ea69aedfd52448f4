import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Map;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;

/** Certificates and keys in PEM, which Java cannot read by itself, as what its TLS takes. */
final class Tls {
    private static final char[] PASSWORD = "in memory only".toCharArray();

    private Tls() {}

    /** Of an object with the paths `certificate` and `key`; none if it has none. */
    static KeyManager[] keys(Map<String, Object> paths) throws Exception {
        if (paths.get("key") == null) {
            return null;
        }
        String pem = read(paths.get("key")).replaceAll("-----[A-Z ]+-----|\\s", "");
        PKCS8EncodedKeySpec spec = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem));
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(spec);
        KeyStore store = empty();
        store.setKeyEntry("own", key, PASSWORD, new Certificate[] {certificate(paths.get("certificate"))});
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, PASSWORD);
        return factory.getKeyManagers();
    }

    /** Trusts the authority whose path is `ca`, and no other. */
    static TrustManager[] trust(Map<String, Object> paths) throws Exception {
        KeyStore store = empty();
        store.setCertificateEntry("authority", certificate(paths.get("ca")));
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return factory.getTrustManagers();
    }

    private static KeyStore empty() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, PASSWORD);
        return store;
    }

    private static Certificate certificate(Object path) throws Exception {
        byte[] pem = read(path).getBytes(StandardCharsets.UTF_8);
        return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem));
    }

    private static String read(Object path) throws Exception {
        return new String(Files.readAllBytes(Paths.get((String) path)), StandardCharsets.UTF_8);
    }
}
